//! Text in aligned columns: [`Columns`], for the terminal.

/// Rows of cells under a header. Columns of numbers are aligned to the right.
#[derive(Clone, Debug)]
pub(crate) struct Columns {
    rows: Vec<Vec<String>>,
    right: Vec<bool>,
}

impl Columns {
    /// A table with these column heads; a head that begins with `>` is that of a column of numbers.
    pub(crate) fn new(heads: &[&str]) -> Self {
        let right = heads.iter().map(|head| head.starts_with('>')).collect();
        Self { rows: vec![heads.iter().map(|head| head.trim_start_matches('>').to_owned()).collect()], right }
    }

    /// Adds a row, a cell for each column.
    pub(crate) fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }

    /// The lines, each ended, without spaces at their ends.
    pub(crate) fn lines(&self) -> String {
        let width =
            |column: usize| self.rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..self.right.len()).map(width).collect();
        let mut text = String::new();
        for row in &self.rows {
            let cells = row.iter().zip(&widths).zip(&self.right).map(|((cell, width), right)| {
                if *right { format!("{cell:>width$}") } else { format!("{cell:<width$}") }
            });
            text += cells.collect::<Vec<_>>().join("  ").trim_end();
            text.push('\n');
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned() {
        let mut table = Columns::new(&["name", ">count"]);
        table.row(vec!["ä".to_owned(), "5".to_owned()]);
        table.row(vec!["longer".to_owned(), "1,000".to_owned()]);
        assert_eq!(table.lines(), "name    count\nä           5\nlonger  1,000\n");
    }
}
