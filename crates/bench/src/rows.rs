//! The rows of this project: the bare loops that are the floors, and ringlane's own.

pub mod bare;
pub mod call;
pub mod links;
pub mod record;
pub mod session;
pub mod spsc;

use crate::row::Row;

/// The rows that goals are about.
pub fn goals() -> Vec<Row> {
    [bare::ROWS, call::ROWS, spsc::ROWS, record::ROWS, session::ROWS].concat()
}

/// All of them.
pub fn all() -> Vec<Row> {
    [goals(), links::more()].concat()
}

#[cfg(test)]
mod tests {
    #[test]
    fn no_two_rows_are_called_the_same() {
        let rows = super::all();
        let names: std::collections::BTreeSet<&str> = rows.iter().map(|row| row.name).collect();
        assert_eq!(names.len(), rows.len());
    }
}
