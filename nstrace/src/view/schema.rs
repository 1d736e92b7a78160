//! The JSON Schema (draft 2020-12) of everything `-J` prints.

/// Version of the documents, their `schema` member. It grows when a reader of the old form would be misled; new keys and
/// new `event` words do not change it.
pub const VERSION: u32 = 1;

/// The schema itself, as `nstrace schema` prints it.
pub const TEXT: &str = include_str!("../../schema/nstrace.schema.json");
