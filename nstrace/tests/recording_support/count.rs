//! How many rows a query has, and nothing else of them.

use nstrace::query::{Answer, QueryError};

#[derive(Debug, Default)]
pub struct Count(pub u64);

impl Answer for Count {
    type Error = QueryError;

    fn columns(&mut self, _: Vec<String>) -> Result<(), QueryError> {
        Ok(())
    }

    fn row(&mut self, _: &rusqlite::Row<'_>) -> Result<(), QueryError> {
        self.0 += 1;
        Ok(())
    }
}
