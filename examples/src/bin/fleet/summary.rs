//! What the program says at its end, and with which status it leaves.
use crate::{
    edge::Outcome,
    ledger::{Ledger, Totals},
};
use std::{fmt, process::ExitCode};

/// A line for each box, and the line that counts.
#[derive(Debug)]
pub(crate) enum Summary {
    /// Of a station: what it received of each box.
    Station(Vec<(String, Totals)>),
    /// Of one box on its own. What arrived is the station's to say.
    Box(Outcome),
}

impl Summary {
    pub(crate) fn of_station(ledger: &Ledger) -> Self {
        Self::Station(ledger.totals())
    }

    /// 2 when messages did not arrive as they should have.
    pub(crate) fn status(&self) -> ExitCode {
        match self.whole() {
            Totals { lost: 0, disordered: 0, .. } => ExitCode::SUCCESS,
            _ => ExitCode::from(2),
        }
    }

    fn whole(&self) -> Totals {
        let mut whole = Totals::default();
        if let Self::Station(boxes) = self {
            boxes.iter().for_each(|(_, totals)| whole.add(*totals));
        }
        whole
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let boxes = match self {
            Self::Station(boxes) => boxes,
            Self::Box(Outcome { accepted, reconnected, .. }) => {
                return writeln!(f, "accepted {accepted}, reconnected {reconnected}");
            }
        };
        for (id, Totals { received, lost, disordered, sessions, .. }) in boxes {
            write!(f, "{id}: sessions {sessions}, received {received}, lost {lost}")?;
            if *disordered > 0 {
                write!(f, ", repeated or out of order {disordered}")?;
            }
            writeln!(f)?;
        }
        let Totals { received, lost, reconnected, .. } = self.whole();
        writeln!(f, "received {received}, lost {lost}, reconnected {reconnected}")
    }
}
