//! What a reader gets: text lines for people, JSON Lines for programs, other formats for other programs. All are pure: a
//! change in, a line out.

mod attack;
pub mod audit;
pub mod audit_html;
pub mod audit_sarif;
pub mod clone_flags;
pub mod columns;
pub mod csv;
mod deed;
pub mod difference;
pub mod doctor;
pub mod document;
pub mod duration;
pub mod ecs;
mod ecs_finding;
pub mod errno;
pub mod escape;
pub mod json;
pub mod ls;
pub mod ls_columns;
pub mod ls_json;
pub mod ls_processes;
pub mod ls_table;
pub mod ls_tree;
pub mod map;
pub mod map_net;
pub mod ocsf;
mod ocsf_finding;
pub mod origin;
mod own_fields;
pub mod recorded;
pub mod rows;
pub mod rules;
pub mod schema;
pub mod sections;
mod sentence;
pub mod show;
mod show_task;
pub mod text;
pub mod time;
pub mod verify;
pub mod why;
pub mod why_json;

use crate::model::Change;

/// The form of a stream of changes.
#[derive(Clone, Debug)]
pub enum View {
    /// JSON Lines.
    Json,
    Text(text::TextView),
    /// Elastic Common Schema, as JSON Lines.
    Ecs(origin::Origin),
    /// Open Cybersecurity Schema Framework, as JSON Lines.
    Ocsf(origin::Origin),
    Csv,
}

impl View {
    /// Appends what stands above the lines, if anything.
    pub fn heading(&self, out: &mut Vec<u8>) {
        match self {
            Self::Text(view) => view.heading(out),
            Self::Csv => csv::heading(out),
            Self::Json | Self::Ecs(_) | Self::Ocsf(_) => {}
        }
    }

    /// Appends the line of one change.
    pub fn line(&self, change: &Change, out: &mut Vec<u8>) {
        match self {
            Self::Json => json::line(change, out),
            Self::Text(view) => view.line(change, out),
            Self::Ecs(origin) => ecs::line(change, origin, out),
            Self::Ocsf(origin) => ocsf::line(change, origin, out),
            Self::Csv => csv::line(change, out),
        }
    }
}
