//! A second protocol, for what goes on a bill: no message may be lost, and none may count twice.
use serde::{Deserialize, Serialize};

wsx::protocol! {
    /// Meters, and the office that writes the bills.
    pub Billing v1 {
        Meter -> Office: Reading;
        Office -> Meter: Tariff;
    }
}

/// A reading of a meter. The meter keeps it until the office has written it down.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, wsx::Message)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[wsx(delivery = at_least_once)]
pub struct Reading {
    /// Number of the meter's program, which is another one after each start.
    pub run: u32,
    /// Number of the reading in this run.
    pub number: u32,
}

/// A price for a meter. The office keeps it until the meter has written it down, also while the
/// meter is away.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, wsx::Message)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[wsx(delivery = at_least_once)]
pub struct Tariff {
    /// Number of the office's program, which is another one after each start.
    pub run: u32,
    /// Number of the tariff in this run.
    pub number: u32,
}
