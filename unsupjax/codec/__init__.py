"""A learned codec of pictures: lapped blocks, contexts and the files; what decodes is integer arithmetic."""
