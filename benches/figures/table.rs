//! What was measured, against what was promised.

use std::fmt;

/// What a figure shall be.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Goal {
    /// At the most this.
    AtMost(f64),
    /// At the least this.
    AtLeast(f64),
    /// It is only told.
    None,
}

impl Goal {
    fn held(self, value: f64) -> bool {
        match self {
            Self::AtMost(most) => value <= most,
            Self::AtLeast(least) => value >= least,
            Self::None => true,
        }
    }

    /// Whether it is missed `times` over.
    fn missed_times(self, value: f64, times: f64) -> bool {
        match self {
            Self::AtMost(most) => value > most * times,
            Self::AtLeast(least) => value < least / times,
            Self::None => false,
        }
    }
}

impl fmt::Display for Goal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtMost(most) => write!(f, "<= {most}"),
            Self::AtLeast(least) => write!(f, ">= {least}"),
            Self::None => f.write_str("-"),
        }
    }
}

/// One figure.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    /// What it says, with its unit.
    pub(crate) name: &'static str,
    /// Itself.
    pub(crate) value: f64,
    /// What it shall be.
    pub(crate) goal: Goal,
    /// What it was made from.
    pub(crate) from: String,
    /// What is missed so many times over is missed grossly: no weather explains it.
    gross: f64,
}

/// For what happens in the middle.
const GROSS: f64 = 3.0;
/// For the slowest hundredth, which belongs to whatever else the machine does: a busy one takes the core away for
/// milliseconds.
const GROSS_TAIL: f64 = 30.0;

impl Row {
    /// A figure.
    pub(crate) fn new(name: &'static str, value: f64, goal: Goal, from: impl Into<String>) -> Self {
        Self {
            name,
            value,
            goal,
            from: from.into(),
            gross: GROSS,
        }
    }

    /// It tells of the slowest hundredth.
    pub(crate) const fn tail(mut self) -> Self {
        self.gross = GROSS_TAIL;
        self
    }

    fn grossly_missed(&self) -> bool {
        self.goal.missed_times(self.value, self.gross)
    }
}

/// All figures, of all runs.
#[derive(Debug, Default)]
pub(crate) struct Table {
    rows: Vec<(String, Vec<Row>)>,
}

impl Table {
    /// Takes in what one run of a bench gave.
    pub(crate) fn add(&mut self, bench: &str, rows: Vec<Row>) {
        for row in rows {
            let known = self
                .rows
                .iter_mut()
                .find(|(of, runs)| of == bench && runs[0].name == row.name);
            match known {
                Some((_, runs)) => runs.push(row),
                None => self.rows.push((bench.to_owned(), vec![row])),
            }
        }
    }

    /// Whether a goal is missed grossly in the middle of the runs.
    pub(crate) fn grossly_missed(&self) -> bool {
        self.rows
            .iter()
            .any(|(_, runs)| middle(runs).grossly_missed())
    }
}

/// The run in the middle.
fn middle(runs: &[Row]) -> &Row {
    let mut order: Vec<&Row> = runs.iter().collect();
    order.sort_by(|one, other| one.value.total_cmp(&other.value));
    order[order.len() / 2]
}

/// With as many digits as say something.
fn short(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size >= 1.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "| bench | figure | median | least to most | goal | | from (the run in the middle) |"
        )?;
        writeln!(f, "|---|---|---|---|---|---|---|")?;
        for (bench, runs) in &self.rows {
            let row = middle(runs);
            let least = runs.iter().map(|run| run.value).fold(f64::MAX, f64::min);
            let most = runs.iter().map(|run| run.value).fold(f64::MIN, f64::max);
            let verdict = match row.goal {
                Goal::None => "",
                _ if row.grossly_missed() => "MISSED GROSSLY",
                goal if goal.held(row.value) => "held",
                _ => "missed",
            };
            writeln!(
                f,
                "| {bench} | {} | {} | {} to {} | {} | {verdict} | {} |",
                row.name,
                short(row.value),
                short(least),
                short(most),
                row.goal,
                row.from
            )?;
        }
        Ok(())
    }
}

/// The value below which `share` of the others lie. Sorts them.
pub(crate) fn quantile(values: &mut [f64], share: f64) -> f64 {
    if values.is_empty() {
        return f64::NAN;
    }
    values.sort_by(f64::total_cmp);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a place among some thousand values"
    )]
    let place = (share * (values.len() - 1) as f64).round() as usize;
    values[place.min(values.len() - 1)]
}

/// The value in the middle. Sorts them.
pub(crate) fn median(values: &mut [f64]) -> f64 {
    quantile(values, 0.5)
}

/// A count as a figure.
pub(crate) fn float(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}
