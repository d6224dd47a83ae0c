use wsx::{Connection, Meta, RawFrame};

#[wsx::handler("health")]
fn h(_a: bool, _b: Connection, _c: Connection, _d: Connection, _e: Meta<'_>, _f: RawFrame<'_>, _g: &Connection) {}

fn main() {}
