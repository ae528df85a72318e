"""Custom objects: what the API knows of kinds that come and go at run time.

object   CustomObject: metadata decoded, the rest plain JSON
schema   CustomSchema: what one version of a definition says, compiled when first needed
body     request bodies of custom kinds
kind     from a CustomResourceDefinition to `Kind`s, so that the registry treats them as all others
columns  printer columns
applying how server-side apply walks a structural schema
openapi  what is published of a schema
"""
