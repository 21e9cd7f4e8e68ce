//! Rows of figures as a Markdown table, with the ratios to the floor and to nginx taken round by round.

use super::measure::Sample;
use crate::figures::Figure;
use crate::systems::{FLOOR, NGINX};

/// A column: its head and where it comes from.
pub(crate) struct Column {
    head: &'static str,
    of: fn(&Sample) -> f64,
    spread: bool,
}

pub(crate) const fn column(head: &'static str, of: fn(&Sample) -> f64) -> Column {
    Column {
        head,
        of,
        spread: false,
    }
}

impl Column {
    /// With the lowest and the highest round beside the median.
    pub(crate) const fn with_spread(self) -> Column {
        Column { spread: true, ..self }
    }
}

/// What compares a row with another, round by round.
#[derive(Clone, Copy)]
pub(crate) enum Against {
    /// Processor time of the proxy as a multiple of the floor's.
    Floor,
    /// Processor time of the proxy as a multiple of nginx's.
    Nginx,
    /// Something of the sample that is so much more than the floor's.
    Over(&'static str, fn(&Sample) -> f64),
}

impl Against {
    fn head(self) -> &'static str {
        match self {
            Against::Floor => "x floor",
            Against::Nginx => "x nginx",
            Against::Over(head, _) => head,
        }
    }

    fn of(self, sample: &Sample, round: &[(&'static str, Sample)]) -> f64 {
        let wanted = if matches!(self, Against::Nginx) {
            NGINX
        } else {
            FLOOR
        };
        let Some((_, other)) = round.iter().find(|(name, _)| *name == wanted) else {
            return f64::NAN;
        };
        match self {
            Against::Floor | Against::Nginx => sample.proxy_us / other.proxy_us,
            Against::Over(_, what) => what(sample) - what(other),
        }
    }
}

/// All rounds of all systems.
#[derive(Default)]
pub(crate) struct Rows {
    rounds: Vec<Vec<(&'static str, Sample)>>,
}

impl Rows {
    /// Adds a round.
    pub(crate) fn add(&mut self, round: Vec<(&'static str, Sample)>) {
        self.rounds.push(round);
    }

    /// Prints the table; columns without any figure are left out.
    pub(crate) fn print(&self, title: &str, columns: &[Column], against: &[Against]) {
        let has = |column: &&Column| {
            self.rounds
                .iter()
                .flatten()
                .any(|(_, sample)| (column.of)(sample).is_finite())
        };
        let columns: Vec<&Column> = columns.iter().filter(has).collect();
        let heads = columns
            .iter()
            .map(|column| column.head)
            .chain(against.iter().map(|against| against.head()));
        let heads: String = heads.map(|head| format!(" {head} |")).collect();
        println!(
            "\n### {title}\n\n| |{heads}\n|---|{}",
            "---:|".repeat(columns.len() + against.len())
        );
        let names = self.rounds.first().map(Vec::as_slice).unwrap_or_default();
        for (name, _) in names {
            let mut cells: Vec<String> = columns.iter().map(|column| self.cell(name, column)).collect();
            cells.extend(against.iter().map(|against| self.compared(name, *against)));
            println!("| {name} | {} |", cells.join(" | "));
        }
    }

    fn figure(&self, name: &str, of: impl Fn(&Sample, &[(&'static str, Sample)]) -> f64) -> Figure {
        let mut figure = Figure::default();
        for round in &self.rounds {
            let samples = round.iter().filter(|(row, _)| *row == name);
            let values = samples
                .map(|(_, sample)| of(sample, round))
                .filter(|value| value.is_finite());
            values.for_each(|value| figure.push(value));
        }
        figure
    }

    fn cell(&self, name: &str, column: &Column) -> String {
        let figure = self.figure(name, |sample, _| (column.of)(sample));
        if column.spread {
            figure.to_string()
        } else {
            format!("{figure:#}")
        }
    }

    fn compared(&self, name: &str, against: Against) -> String {
        let figure = self.figure(name, |sample, round| against.of(sample, round));
        match against {
            _ if !figure.median().is_finite() => "-".to_owned(),
            Against::Floor | Against::Nginx => format!("{:.2}", figure.median()),
            Against::Over(..) => format!("{figure:#}"),
        }
    }
}
