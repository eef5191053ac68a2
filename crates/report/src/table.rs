//! [`Table`]: a Markdown table whose source is as readable as what it renders to.

use frostline_text::grouped;

/// Rows from which on a table is for programs, not for readers.
const MOST: usize = 250;

/// Rows under a header; columns whose header ends in `>` are set to the right.
#[derive(Clone, Debug)]
pub(super) struct Table {
    header: Vec<String>,
    right: Vec<bool>,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(super) fn new(header: &[&str]) -> Self {
        let right = header.iter().map(|name| name.ends_with('>')).collect();
        let header = header.iter().map(|name| name.trim_end_matches('>').to_owned()).collect();
        Self { header, right, rows: Vec::new() }
    }

    /// Adds a row with a cell for each column. Bars and line ends in a cell are made harmless.
    pub(super) fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.cells(cells.into());
    }

    /// As [`Table::row`], for tables whose columns are found out. Values, which stand at the right, are not broken over lines.
    pub(super) fn cells(&mut self, cells: Vec<String>) {
        let cell = |(cell, right): (String, &bool)| {
            let cell = cell.replace('|', "\\|").replace(['\n', '\r'], " ");
            if *right { cell.replace(' ', "\u{a0}") } else { cell }
        };
        self.rows.push(cells.into_iter().zip(&self.right).map(cell).collect());
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Leaves out the columns that say nothing in any row, the first excepted.
    pub(super) fn without_empty_columns(mut self) -> Self {
        let says = |column: usize| self.rows.iter().any(|row| !row[column].is_empty() && row[column] != "–");
        let keep: Vec<bool> = (0..self.header.len()).map(|column| column == 0 || says(column)).collect();
        let retain = |row: &mut Vec<String>| {
            let mut kept = keep.iter();
            row.retain(|_| kept.next().copied().unwrap_or(true));
        };
        retain(&mut self.header);
        self.rows.iter_mut().for_each(retain);
        let mut kept = keep.iter();
        self.right.retain(|_| kept.next().copied().unwrap_or(true));
        self
    }

    /// Leaves out those of these columns that say the same in every row, where there are several rows.
    pub(super) fn without_constant(mut self, names: &[&str]) -> Self {
        let several = self.rows.len() > 1;
        let constant =
            |column: usize| several && self.rows.iter().all(|row| row[column] == self.rows[0][column]);
        let same: Vec<usize> = (0..self.header.len())
            .filter(|column| names.contains(&self.header[*column].as_str()) && constant(*column))
            .collect();
        for column in same.into_iter().rev() {
            self.header.remove(column);
            self.right.remove(column);
            self.rows.iter_mut().for_each(|row| drop(row.remove(column)));
        }
        self
    }

    /// The table's lines, with an end of line after each. Of very many rows those that come first.
    pub(super) fn markdown(&self) -> String {
        if self.rows.len() > MOST {
            let first = Self { rows: self.rows[..MOST].to_vec(), ..self.clone() };
            let (shown, all) = (grouped(MOST as u64), grouped(self.rows.len() as u64));
            return format!("{}\n*{shown} of {all} rows; `csv/` has all of them.*\n", first.markdown());
        }
        let widths: Vec<usize> = (0..self.header.len())
            .map(|c| {
                self.rows.iter().chain([&self.header]).map(|row| row[c].chars().count()).fold(3, usize::max)
            })
            .collect();
        let line = |row: &Vec<String>| {
            let cells = row.iter().zip(&widths).zip(&self.right).map(|((cell, &width), right)| {
                if *right { format!("{cell:>width$}") } else { format!("{cell:<width$}") }
            });
            format!("| {} |\n", cells.collect::<Vec<_>>().join(" | "))
        };
        let rules = widths.iter().zip(&self.right).map(|(&width, right)| {
            if *right { format!("{}:", "-".repeat(width - 1)) } else { "-".repeat(width) }
        });
        let rule = format!("| {} |\n", rules.collect::<Vec<_>>().join(" | "));
        line(&self.header) + &rule + &self.rows.iter().map(line).collect::<String>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_silent_ones_go() {
        let mut table = Table::new(&["Arm", "Loss", "Time>"]);
        table.row(["full | all".to_owned(), "–".to_owned(), "9 s".to_owned()]);
        table.row(["a\nb".to_owned(), String::new(), "10 s".to_owned()]);
        let expected = "\
| Arm         | Time |
| ----------- | ---: |
| full \\| all |  9 s |
| a b         | 10 s |
";
        assert_eq!(table.without_empty_columns().markdown(), expected);
    }

    #[test]
    fn of_very_many_rows_the_first_are_shown() {
        let mut table = Table::new(&["Arm"]);
        (0..1000).for_each(|row| table.row([row.to_string()]));
        let text = table.markdown();
        assert!(
            text.lines().count() == 254 && text.ends_with("*250 of 1,000 rows; `csv/` has all of them.*\n"),
            "{text}"
        );
    }
}
