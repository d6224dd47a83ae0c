//! The results as JSON and as tables.
use crate::{
    compare::{Cell, Results},
    measure::Sample,
    peers::Peer,
    workload::Shape,
};
use serde::Serialize;
use std::fmt::Write;

/// One line of JSON. A value that does not apply is null.
#[derive(Serialize)]
struct Line<'a> {
    workload: &'a str,
    peer: &'a str,
    cpu_us: Option<f64>,
    ratio: Option<f64>,
    p50_us: Option<f64>,
    p95_us: Option<f64>,
    p99_us: Option<f64>,
    rss_kb_per_conn: Option<f64>,
    per_second: Option<f64>,
    user_us: Option<f64>,
    system_us: Option<f64>,
    rss_kb_per_conn_used: Option<f64>,
    rss_ratio: Option<f64>,
    rss_kb_left: Option<f64>,
    growth: Option<f64>,
    steps: Option<Vec<(usize, f64)>>,
    connections: Option<usize>,
    busy: Option<f64>,
    load_us: Option<f64>,
    rounds: usize,
    left_out: usize,
    missing: Option<&'a str>,
    faults: &'a [String],
}

/// Returns one object for each peer and workload, each on a line.
pub(crate) fn json(results: &Results) -> String {
    let mut out = String::new();
    for cell in &results.cells {
        let to_reference = |value: fn(&Sample) -> Option<f64>| {
            results.reference(cell.workload).and_then(|reference| cell.ratio_to(reference, value))
        };
        let steps = cell.steps();
        let line = Line {
            workload: cell.workload.name,
            peer: cell.peer.name(),
            cpu_us: cell.median(|sample| sample.cpu_us),
            ratio: to_reference(|sample| sample.cpu_us),
            p50_us: cell.median(|sample| sample.p50_us),
            p95_us: cell.median(|sample| sample.p95_us),
            p99_us: cell.median(|sample| sample.p99_us),
            rss_kb_per_conn: cell.median(|sample| sample.rss_kb_per_conn),
            per_second: cell.median(|sample| sample.per_second),
            user_us: cell.median(|sample| sample.user_us),
            system_us: cell.median(|sample| sample.system_us),
            rss_kb_per_conn_used: cell.median(|sample| sample.rss_kb_per_conn_used),
            rss_ratio: to_reference(|sample| sample.rss_kb_per_conn),
            rss_kb_left: cell.median(|sample| sample.rss_kb_left),
            growth: cell.median(|sample| sample.growth),
            steps: (!steps.is_empty()).then_some(steps),
            connections: cell.samples.iter().flatten().map(|sample| sample.connections).max(),
            busy: cell.median(|sample| sample.busy),
            load_us: cell.median(|sample| sample.load_us),
            rounds: cell.rounds(),
            left_out: cell.left_out,
            missing: cell.missing.as_ref().map(|missing| &*missing.0),
            faults: &cell.faults,
        };
        out.push_str(&serde_json::to_string(&line).expect("numbers, strings and lists are JSON"));
        out.push('\n');
    }
    out
}

/// A column: its heading, and its value for a peer.
type Column<'a> = (String, Box<dyn Fn(&Cell) -> Option<String> + 'a>);

/// Returns a Markdown table for each workload. Before them comes a table of wsx against the library
/// that it uses.
pub(crate) fn tables(results: &Results) -> String {
    let mut out = over_raw(results);
    for cells in results.cells.chunk_by(|a, b| a.workload.name == b.workload.name) {
        let workload = cells[0].workload;
        let _ = write!(out, "### `{}`\n\n{}.", workload.name, workload.title);
        let most = cells.iter().flat_map(|cell| cell.samples.iter().flatten()).map(|sample| sample.connections).max();
        if let Some(most) = most.filter(|most| *most < workload.shape.connections()) {
            let _ = write!(
                out,
                " Here it was {most} connections at most: the time or the limit on open files left no more."
            );
        }
        out.push_str("\n\n");
        table(&mut out, cells, &columns(results, cells));
        out.push('\n');
    }
    out
}

/// Returns the table of wsx against raw tokio-tungstenite, or nothing if one of them was not
/// measured.
fn over_raw(results: &Results) -> String {
    let headings = ["workload", "measured", "wsx", "tuned", "wsx ÷ tuned", "default", "wsx ÷ default"];
    let mut rows = vec![headings.map(str::to_owned).to_vec()];
    for wsx in results.cells.iter().filter(|cell| cell.peer == Peer::Wsx) {
        let (unit, value): (_, fn(&Sample) -> Option<f64>) = match wsx.workload.shape {
            Shape::Idle { .. } => ("KB per connection", |sample| sample.rss_kb_per_conn),
            _ => ("CPU µs", |sample| sample.cpu_us),
        };
        let raw = [Peer::TungsteniteTuned, Peer::Tungstenite].map(|peer| {
            let cell = results.cell(wsx.workload, peer);
            let own = cell.and_then(|cell| cell.median(value));
            (own.map(number), cell.and_then(|cell| cell.ratio_to(wsx, value)).map(|ratio| format!("{ratio:.2}")))
        });
        if raw.iter().all(|(own, _)| own.is_none()) {
            continue;
        }
        let mut row = vec![format!("`{}`", wsx.workload.name), unit.to_owned(), figure(wsx.median(value).map(number))];
        row.extend(raw.into_iter().flat_map(|(own, ratio)| [figure(own), figure(ratio)]));
        rows.push(row);
    }
    if rows.len() == 1 {
        return String::new();
    }
    let mut out = "### wsx and raw tokio-tungstenite\n\n".to_owned();
    align(&mut out, &rows);
    out.push('\n');
    out
}

/// A value that does not apply, or was not measured, is a dash.
fn figure(text: Option<String>) -> String {
    text.unwrap_or_else(|| "–".into())
}

fn columns<'a>(results: &'a Results, cells: &'a [Cell]) -> Vec<Column<'a>> {
    fn plain<'a>(heading: &str, value: fn(&Sample) -> Option<f64>) -> Column<'a> {
        (heading.to_owned(), Box::new(move |cell| cell.median(value).map(number)))
    }
    let workload = cells[0].workload;
    let ratio = |heading: &str, value: fn(&Sample) -> Option<f64>| -> Column<'a> {
        let reference = results.reference(workload);
        let of = move |cell: &Cell| reference.and_then(|reference| cell.ratio_to(reference, value));
        (heading.to_owned(), Box::new(move |cell| of(cell).map(|ratio| format!("{}×", number(ratio)))))
    };
    let reference_over_it = format!("{} ÷ it", workload.reference().name());
    match workload.shape {
        Shape::Idle { .. } => vec![
            plain("KB per connection", |sample| sample.rss_kb_per_conn),
            ratio(&reference_over_it, |sample| sample.rss_kb_per_conn),
            plain("after one message each", |sample| sample.rss_kb_per_conn_used),
        ],
        Shape::Growth { .. } => {
            let longest = cells.iter().map(Cell::steps).max_by_key(Vec::len).unwrap_or_default();
            let steps = longest.into_iter().enumerate().map(|(index, (connections, _))| -> Column<'a> {
                let at = move |cell: &Cell| cell.steps().get(index).map(|step| number(step.1));
                (format!("CPU µs at {connections}"), Box::new(at))
            });
            steps
                .chain([
                    plain("last ÷ first", |sample| sample.growth),
                    ratio(&format!("{reference_over_it}, at the last"), |sample| sample.cpu_us),
                ])
                .collect()
        }
        Shape::Requests { .. } => {
            let by_hand = results.cell(workload, Peer::WsxByHand);
            let over_by_hand =
                move |cell: &Cell| by_hand.and_then(|by_hand| by_hand.ratio_to(cell, |sample| sample.cpu_us));
            vec![
                plain("CPU µs", |sample| sample.cpu_us),
                ratio(&reference_over_it, |sample| sample.cpu_us),
                (
                    "it ÷ wsx-by-hand".into(),
                    Box::new(move |cell| over_by_hand(cell).map(|ratio| format!("{ratio:.2}"))),
                ),
                plain("of the client", |sample| sample.load_us),
                plain("requests/s", |sample| sample.per_second),
                plain("p50 µs", |sample| sample.p50_us),
                plain("p95 µs", |sample| sample.p95_us),
                plain("p99 µs", |sample| sample.p99_us),
            ]
        }
        shape => {
            let mut columns = vec![
                plain("CPU µs", |sample| sample.cpu_us),
                ratio(&reference_over_it, |sample| sample.cpu_us),
                plain("user", |sample| sample.user_us),
                plain("system", |sample| sample.system_us),
                plain("p50 µs", |sample| sample.p50_us),
                plain("p95 µs", |sample| sample.p95_us),
                plain("p99 µs", |sample| sample.p99_us),
            ];
            if matches!(shape, Shape::Broadcast { .. }) {
                columns.push(plain("KB per connection", |sample| sample.rss_kb_per_conn));
            }
            if cells.iter().any(|cell| cell.median(|sample| sample.rss_kb_left).is_some()) {
                columns.push(plain("KB left behind", |sample| sample.rss_kb_left));
            }
            columns
        }
    }
}

fn table(out: &mut String, cells: &[Cell], columns: &[Column<'_>]) {
    let mut rows = vec![vec!["peer".to_owned()]];
    rows[0].extend(columns.iter().map(|(heading, _)| heading.clone()));
    let mut notes = Vec::new();
    for cell in cells {
        let mut row = vec![cell.peer.name().to_owned()];
        row.extend(columns.iter().map(|(_, value)| figure(value(cell))));
        rows.push(row);
        if let Some(missing) = &cell.missing {
            notes.push(format!("{} is missing: {}", cell.peer.name(), missing.0));
        }
        if let Some(fault) = cell.faults.first() {
            let (failed, rounds) = (cell.faults.len(), cell.samples.len());
            notes.push(format!("{} did not finish {failed} of {rounds} rounds: {fault}", cell.peer.name()));
        }
        if cell.left_out > 0 {
            notes.push(format!(
                "{} had no time for {} of {} rounds",
                cell.peer.name(),
                cell.left_out,
                cell.samples.len()
            ));
        }
    }
    align(out, &rows);
    for note in notes {
        let _ = write!(out, "\n{note}\n");
    }
}

/// Writes a table whose first row is its heading, with columns as wide as necessary.
fn align(out: &mut String, rows: &[Vec<String>]) {
    let widths: Vec<usize> =
        (0..rows[0].len()).map(|at| rows.iter().map(|row| row[at].chars().count()).max().unwrap_or(0)).collect();
    for (index, row) in rows.iter().enumerate() {
        for (at, text) in row.iter().enumerate() {
            let width = widths[at];
            // Names are on the left, numbers on the right.
            let _ = if at == 0 { write!(out, "| {text:width$} |") } else { write!(out, " {text:>width$} |") };
        }
        out.push('\n');
        if index == 0 {
            for (at, width) in widths.iter().enumerate() {
                let line = "-".repeat(width + 1);
                let _ = if at == 0 { write!(out, "|{line}-|") } else { write!(out, "{line}:|") };
            }
            out.push('\n');
        }
    }
}

/// Three significant digits, and a comma for the thousands.
pub(crate) fn number(value: f64) -> String {
    let digits = match value.abs() {
        ..0.9995 => 3,
        ..9.995 => 2,
        ..99.95 => 1,
        _ => 0,
    };
    let text = format!("{value:.digits$}");
    let (whole, rest) = text.split_at(text.find('.').unwrap_or(text.len()));
    let mut out = String::new();
    for (at, digit) in whole.chars().enumerate() {
        let left = whole.len() - at;
        if left.is_multiple_of(3) && at > 0 && !out.ends_with('-') {
            out.push(',');
        }
        out.push(digit);
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{peers::Missing, workload};
    use std::time::Duration;

    fn cell(peer: Peer, cpu: &[Option<f64>]) -> Cell {
        let sample = |cpu_us: f64| Sample { cpu_us: Some(cpu_us), connections: 32, ..Sample::default() };
        Cell {
            workload: &workload::ALL[0],
            peer,
            missing: None,
            samples: cpu.iter().map(|cpu| cpu.map(sample)).collect(),
            left_out: 0,
            faults: cpu.iter().filter(|cpu| cpu.is_none()).map(|_| "stuck".to_owned()).collect(),
        }
    }

    fn results() -> Results {
        let missing = Some(Missing("there is no Node.js".into()));
        let cells = vec![
            cell(Peer::Wsx, &[Some(1.0), Some(2.0), Some(4.0)]),
            cell(Peer::Gorilla, &[Some(10.0), None, Some(20.0)]),
            Cell { missing, ..cell(Peer::Ws, &[]) },
        ];
        Results { cells, took: Duration::from_secs(1) }
    }

    #[test]
    fn json_has_a_line_for_each_peer_with_null_for_what_does_not_apply() {
        let lines: Vec<serde_json::Value> =
            json(&results()).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.len(), 3);
        assert_eq!(lines[0]["workload"], "burst-128-envelope");
        assert_eq!((&lines[0]["cpu_us"], &lines[0]["ratio"]), (&2.0.into(), &7.5.into()));
        assert_eq!((&lines[0]["p50_us"], &lines[0]["missing"]), (&().into(), &().into()));
        assert_eq!((&lines[1]["ratio"], &lines[1]["rounds"]), (&1.0.into(), &2.into()));
        assert_eq!(lines[2]["missing"], "there is no Node.js");
        for key in ["cpu_us", "ratio", "p50_us", "p95_us", "p99_us", "rss_kb_per_conn"] {
            assert_eq!(lines[2].get(key), Some(&().into()));
        }
    }

    #[test]
    fn a_table_names_missing_and_failed_subjects() {
        let tables = tables(&results());
        assert!(tables.contains("| wsx     |"), "{tables}");
        assert!(tables.contains("ws is missing: there is no Node.js"), "{tables}");
        assert!(tables.contains("gorilla did not finish 1 of 3 rounds: stuck"), "{tables}");
    }

    #[test]
    fn wsx_stands_beside_the_raw_library_in_one_table() {
        let mut results = results();
        assert_eq!(over_raw(&results), "");
        results.cells.push(cell(Peer::TungsteniteTuned, &[Some(2.0), Some(2.0), Some(2.0)]));
        let table = over_raw(&results);
        let row = table.trim_end().lines().last().unwrap();
        let fields: Vec<&str> = row.split('|').map(str::trim).collect();
        assert_eq!(fields, ["", "`burst-128-envelope`", "CPU µs", "2.00", "2.00", "1.00", "–", "–", ""]);
    }

    #[test]
    fn requests_stand_beside_jsonrpsee_and_the_way_by_hand() {
        let workload = workload::ALL.iter().find(|workload| workload.is_requests()).unwrap();
        let of = |peer, cpu| Cell { workload, ..cell(peer, &[Some(cpu)]) };
        let cells = vec![of(Peer::WsxByHand, 2.0), of(Peer::Jsonrpsee, 8.0), of(Peer::TarpcJson, 4.0)];
        let tables = tables(&Results { cells, took: Duration::from_secs(1) });
        let rows: Vec<Vec<&str>> = tables
            .lines()
            .filter(|line| line.starts_with('|'))
            .map(|line| line.split('|').map(str::trim).collect())
            .collect();
        assert_eq!(rows[0][1..5], ["peer", "CPU µs", "jsonrpsee ÷ it", "it ÷ wsx-by-hand"]);
        assert_eq!(rows[2][1..5], ["wsx-by-hand", "2.00", "4.00×", "1.00"]);
        assert_eq!(rows[4][1..5], ["tarpc-json", "4.00", "2.00×", "2.00"]);
    }

    #[test]
    fn numbers_are_short() {
        let all = [0.123_45, 1.0, 12.345, 123.45, 12_345.6, 1_234_567.0, -1234.0, 0.9999];
        assert_eq!(all.map(number).join(" "), "0.123 1.00 12.3 123 12,346 1,234,567 -1,234 1.00");
    }
}
