//! Which changes a stream shows, and how: the same flags for `watch`, `record` and `replay`.

use jiff::tz::TimeZone;

use super::{
    exit::{Failure, Outcome},
    flags::Color,
    selection::Selection,
    stream::Summary,
};
use crate::{
    detect::Severity,
    filter::{CHANGE_FIELDS, Filter},
    ns::NsType,
    view::{View, columns::Column, text::TextView},
};

/// Which changes are shown.
#[derive(Debug, clap::Args)]
pub(super) struct Chosen {
    /// Only namespaces of these types: mnt, pid, net, ipc, uts, user, cgroup, time
    #[arg(short, long = "type", value_name = "TYPE,...", value_delimiter = ',')]
    types: Vec<NsType>,

    /// Only what this container does: its id, the start of it, or its name; may be repeated
    #[arg(long = "container", value_name = "NAME", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    container: Vec<String>,

    /// Only what some container does
    #[arg(long)]
    containers: bool,

    /// Only events for which this scols-filter(5) expression holds, like 'TYPE == "net" and PID > 1'
    #[arg(short = 'Q', long, value_name = "EXPR")]
    filter: Option<String>,

    /// End with exit code 5 when something at least this bad was found
    #[arg(long, value_name = "SEVERITY", value_enum)]
    fail_on: Option<Severity>,
}

impl Chosen {
    /// How a stream with these findings ends.
    pub fn outcome(&self, summary: &Summary) -> Outcome {
        match self.fail_on {
            Some(severity) if summary.worst >= Some(severity) => {
                Outcome::Findings { what: format!("there are findings of severity {severity} or above"), partial: None }
            }
            _ => Outcome::Complete,
        }
    }

    /// # Errors
    /// When the filter is no expression.
    pub fn selection(&self) -> Result<Selection, Failure> {
        let filter = self.filter.as_deref().map(|text| Filter::parse(text, &CHANGE_FIELDS)).transpose();
        Ok(Selection {
            types: self.types.clone(),
            containers: self.container.clone(),
            only_containers: self.containers,
            filter: filter.map_err(|error| Failure::Usage(error.to_string()))?,
            ..Selection::default()
        })
    }
}

/// How changes are shown.
#[derive(Debug, clap::Args)]
pub(super) struct Look {
    /// Print JSON Lines; 'nstrace schema' describes them
    #[arg(short = 'J', long)]
    json: bool,

    /// Columns to show; +COLS adds to the default ones
    #[arg(short, long, value_name = "COLS", conflicts_with = "json")]
    output: Option<String>,

    /// Print no heading
    #[arg(short, long)]
    pub noheadings: bool,

    /// When to use colours
    #[arg(long, value_name = "WHEN", value_enum, default_value_t, hide_possible_values = false)]
    color: Color,
}

impl Look {
    /// # Errors
    /// When a column is unknown.
    pub fn view(&self) -> Result<View, Failure> {
        if self.json {
            return Ok(View::Json);
        }
        let columns = match &self.output {
            None => Column::DEFAULT.to_vec(),
            Some(list) => Column::list(list).map_err(|error| Failure::Usage(error.to_string()))?,
        };
        Ok(View::Text(TextView { columns, colour: self.color.wanted(), zone: TimeZone::system() }))
    }
}

/// For the end of a long help: what the flags take.
pub(super) fn names() -> String {
    format!(
        "Columns of --output: {}\n\nFields of --filter: {}\n\nLIFETIME counts seconds, NS is the inode number.",
        Column::ALL.map(Column::name).join(" "),
        CHANGE_FIELDS.iter().map(|field| field.name).collect::<Vec<_>>().join(" "),
    )
}
