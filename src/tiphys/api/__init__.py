"""The API as declarations and pure functions: types, kinds, errors, patches, apply, tables, protobuf. No I/O."""
