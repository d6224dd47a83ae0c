//! The board as text: a line for each box.
use crate::board::{Reading, Row};

/// So many boxes are shown at most; more do not fit on a screen, and flood a log.
const SHOWN: usize = 16;
/// So many cores are drawn at most.
const CORES: usize = 16;
/// So much of a mount point is shown, in characters.
const MOUNT: usize = 12;

/// Who reads the lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// Columns under a header, for a terminal.
    Columns,
    /// Each line says by itself what it shows, for a log.
    Sentences,
}

/// The table, or nothing while there are no boxes.
pub(crate) fn lines(rows: &[(String, Row)], form: Form) -> Vec<String> {
    let mut lines = Vec::new();
    if form == Form::Columns && !rows.is_empty() {
        lines.push(format!(
            "{:<9}  {:>7}  {:>7}  {:>4}  {:>7}  {:<16}  {:>22}  {:<17}  {:>9}  {:>9}",
            "box", "session", "message", "rate", "cpu", "each core", "memory", "fullest disk", "received", "sent"
        ));
    }
    lines.extend(rows.iter().take(SHOWN).map(|(id, row)| match (&row.newest, row.open) {
        (None, 0) => format!("{id:<9}  away"),
        (None, _) => format!("{id:<9}  connected, no telemetry yet"),
        (Some(reading), 0) => format!("{id:<9}  away since message {} of session {}", reading.number, reading.session),
        (Some(reading), _) => line(id, reading, form),
    }));
    if rows.len() > SHOWN {
        lines.push(format!("and {} more", rows.len() - SHOWN));
    }
    lines
}

fn line(id: &str, reading: &Reading, form: Form) -> String {
    let Reading { session, number, per_second, cores, memory: (used, total), fullest, received, sent } = reading;
    // There are few enough cores for any number of them to be exact.
    let load = cores.iter().sum::<f32>() / cores.len().max(1) as f32;
    let bars: String = cores.iter().take(CORES).copied().map(bar).collect();
    let memory = format!("{} of {}", bytes(*used), bytes(*total));
    let disk = fullest.as_ref().map_or_else(
        || "none".to_owned(),
        |(mount, percent)| {
            // The mount point is the peer's word: escaped, it cannot steer the terminal.
            let mount: String = mount.escape_debug().take(MOUNT).collect();
            format!("{mount} {percent} %")
        },
    );
    let (received, sent) = (bytes(*received), bytes(*sent));
    match form {
        Form::Columns => format!(
            "{id:<9}  {session:>7}  {number:>7}  {per_second:>2}/s  {load:>5.1} %  {bars:<16}  {memory:>22}  {disk:<17}  {received:>9}  {sent:>9}"
        ),
        Form::Sentences => format!(
            "{id}: session {session}, message {number}, {per_second}/s; cpu {load:.1} % {bars}, memory {memory}, fullest disk {disk}, network {received} in, {sent} out"
        ),
    }
}

/// An eighth of a block for each eighth of the load.
fn bar(percent: f32) -> char {
    const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    // A cast from float saturates, and takes what is no number as 0.
    BARS[((percent / 12.5) as usize).min(BARS.len() - 1)]
}

/// With a unit that leaves few digits.
fn bytes(count: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let mut amount = count as f64 / 1024.0;
    let mut unit = 0;
    while amount >= 1000.0 && unit + 1 < UNITS.len() {
        amount /= 1024.0;
        unit += 1;
    }
    format!("{amount:.1} {}", UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(mount: &str) -> (String, Row) {
        let newest = Some(Reading {
            session: 2,
            number: 17,
            per_second: 5,
            cores: vec![0.0, 100.0],
            memory: (1 << 30, 8 << 30),
            fullest: Some((mount.to_owned(), 41)),
            received: 1536,
            sent: 0,
        });
        ("box-1".to_owned(), Row { open: 1, newest })
    }

    #[test]
    fn a_box_is_one_line() {
        let [header, columns] = &lines(&[row("/")], Form::Columns)[..] else { panic!("a header and a line") };
        assert_eq!(header.chars().count(), columns.chars().count());
        assert_eq!(
            lines(&[row("/")], Form::Sentences),
            [
                "box-1: session 2, message 17, 5/s; cpu 50.0 % ▁█, memory 1.0 GiB of 8.0 GiB, fullest disk / 41 %, network 1.5 KiB in, 0.0 KiB out"
            ]
        );
    }

    #[test]
    fn a_mount_point_does_not_steer_the_terminal() {
        assert!(!lines(&[row("\x1b[2J\n")], Form::Columns).concat().contains(char::is_control));
    }

    #[test]
    fn numbers_of_any_size_have_a_unit() {
        assert_eq!([0, 1023, 1_048_576, u64::MAX].map(bytes), ["0.0 KiB", "1.0 KiB", "1.0 MiB", "16.0 EiB"]);
    }

    #[test]
    fn no_number_breaks_a_bar() {
        assert_eq!([f32::NAN, -1.0, 50.0, 100.0, f32::INFINITY].map(bar), ['▁', '▁', '▅', '█', '█']);
    }

    #[test]
    fn many_boxes_do_not_flood_the_screen() {
        let rows: Vec<_> = (0..100).map(|_| row("/")).collect();
        let lines = lines(&rows, Form::Sentences);
        assert_eq!((lines.len(), &*lines[SHOWN]), (SHOWN + 1, "and 84 more"));
    }
}
