"""Custom resources: what a CustomResourceDefinition means, and the objects of the kinds that it defines."""
