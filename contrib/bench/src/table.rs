//! Figures and tables: medians of rounds that alternate, so that what the machine does meanwhile meets all alike.

use std::fmt;

use anyhow::Result;

use crate::attempt::attempt;

/// A table of results, as Markdown.
#[derive(Debug)]
pub struct Table {
    /// Its heading.
    pub title: &'static str,
    /// What was measured and how.
    pub text: String,
    /// The names of the columns; the first is that of the rows.
    pub columns: Vec<&'static str>,
    /// One for each contestant.
    pub rows: Vec<Vec<String>>,
}

impl fmt::Display for Table {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(out, "## {}\n\n{}\n", self.title, self.text)?;
        writeln!(out, "| {} |", self.columns.join(" | "))?;
        writeln!(out, "| --- |{}", " --: |".repeat(self.columns.len() - 1))?;
        self.rows.iter().try_for_each(|row| writeln!(out, "| {} |", row.join(" | ")))
    }
}

/// Lets all contestants run in each round, every second round in the opposite order: A B, B A, A B. Returns the results
/// of each contestant, in the order of the contestants; a run that fails is told and has none.
pub fn alternate<C, R>(rounds: u32, contestants: &[C], run: impl Fn(&C) -> Result<R>) -> Vec<Vec<R>> {
    let mut results: Vec<Vec<R>> = contestants.iter().map(|_| Vec::new()).collect();
    for round in 0..rounds {
        let mut order: Vec<usize> = (0..contestants.len()).collect();
        if !round.is_multiple_of(2) {
            order.reverse();
        }
        for place in order {
            match attempt(|| run(&contestants[place])) {
                Ok(result) => results[place].push(result),
                Err(error) => eprintln!("failed: {error:#}"),
            }
        }
    }
    results
}

/// The median; of an even number the upper one.
pub fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// A number with three digits that count.
pub fn figure(value: f64) -> String {
    match value {
        value if value.is_nan() => "–".to_owned(),
        value if value.fract() == 0.0 || value >= 100.0 => format!("{value:.0}"),
        value if value >= 10.0 => format!("{value:.1}"),
        value => format!("{value:.2}"),
    }
}

/// How many times one value is another.
pub fn ratio(value: f64, base: f64) -> String {
    if base == 0.0 { "–".to_owned() } else { figure(value / base) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;

    #[test]
    fn rounds_alternate_and_results_keep_to_their_contestants() {
        let order = RefCell::new(String::new());
        let run = |name: &char| {
            order.borrow_mut().push(*name);
            Ok(*name)
        };
        let results = alternate(3, &['a', 'b'], run);
        assert_eq!((order.take(), results), ("abbaab".to_owned(), vec![vec!['a'; 3], vec!['b'; 3]]));
    }

    #[test]
    fn figures() {
        let written = [0.0, 0.123, 5.0, 56.78, 123.4, f64::NAN].map(figure);
        assert_eq!(written, ["0", "0.12", "5", "56.8", "123", "–"]);
        assert_eq!(median([3.0, 1.0, 2.0]), 2.0);
        assert_eq!((ratio(6.0, 4.0), ratio(1.0, 0.0)), ("1.50".to_owned(), "–".to_owned()));
    }
}
