//! What a reader gets: text lines for people, JSON Lines for programs. Both are pure: a change in, a line out.

pub mod clone_flags;
pub mod columns;
pub mod doctor;
pub mod document;
pub mod duration;
pub mod errno;
pub mod escape;
pub mod json;
pub mod ls;
pub mod ls_table;
pub mod map;
pub mod map_net;
pub mod schema;
pub mod sections;
pub mod show;
mod show_task;
pub mod text;
pub mod time;
pub mod verify;
pub mod why;

use crate::model::Change;

/// The form of a stream of changes.
#[derive(Clone, Debug)]
pub enum View {
    /// JSON Lines.
    Json,
    Text(text::TextView),
}

impl View {
    /// Appends what stands above the lines, if anything.
    pub fn heading(&self, out: &mut Vec<u8>) {
        if let Self::Text(view) = self {
            view.heading(out);
        }
    }

    /// Appends the line of one change.
    pub fn line(&self, change: &Change, out: &mut Vec<u8>) {
        match self {
            Self::Json => json::line(change, out),
            Self::Text(view) => view.line(change, out),
        }
    }
}
