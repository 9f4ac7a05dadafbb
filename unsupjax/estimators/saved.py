"""Estimators in files."""

import pathlib
from typing import Self

import numpy as np
from sklearn.utils.validation import check_is_fitted

from unsupjax import arrays
from unsupjax.errors import UserError


class Saved:
    """`save` and `load`; `_fitted` names the attributes that `fit` sets."""

    _fitted: tuple[str, ...] = ()

    def save(self, path: str | pathlib.Path):
        """Writes parameters and fitted attributes to one `.npz` file, without pickle.

        Raises:
            UserError: a parameter is neither an array nor has a form in JSON, as a `RandomState`.
            NotFittedError: not yet fitted.
        """
        check_is_fitted(self)
        kept, parameters = {}, {}
        for name, value in self.get_params(deep=False).items():
            if hasattr(value, "shape") and np.ndim(value) > 0:
                kept[f"parameter.{name}"] = value
            else:
                parameters[name] = value.item() if isinstance(value, np.generic) else value
        for name in (*self._fitted, "n_features_in_"):
            kept[name] = getattr(self, name)
        names = getattr(self, "feature_names_in_", None)
        description = {
            "estimator": type(self).__name__,
            "parameters": parameters,
            "feature_names": None if names is None else list(names),
        }
        arrays.save(path, kept, description)

    @classmethod
    def load(cls, path: str | pathlib.Path) -> Self:
        """The estimator that `save` wrote. Nothing in the file is run.

        Raises:
            UserError: there is no such file, it is damaged, or it holds something else.
        """
        kept, description = arrays.load(path)
        if description.get("estimator") != cls.__name__:
            raise UserError(f"{path} holds {description.get('estimator')!r} and no {cls.__name__}")
        parameters = description.get("parameters")
        given = {name[len("parameter.") :]: v for name, v in kept.items() if name.startswith("parameter.")}
        parameters = {**parameters, **given} if isinstance(parameters, dict) else given
        missing = {*cls._fitted, "n_features_in_"} - set(kept)
        if missing or set(parameters) != set(cls().get_params()):
            raise UserError(f"{path} is no complete {cls.__name__}: its parameters or attributes are others")
        estimator = cls(**parameters)
        for name in (*cls._fitted, "n_features_in_"):
            setattr(estimator, name, kept[name] if kept[name].ndim else kept[name].item())
        if description.get("feature_names") is not None:
            estimator.feature_names_in_ = np.array(description["feature_names"], object)
        return estimator
