"""Models as people have them: files, folders, hub ids, adapters, modules and mappings of tensors."""
