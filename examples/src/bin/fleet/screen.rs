//! Standard output, which one thread owns. All other code sends it lines.
//!
//! On a terminal the table of boxes stays at the bottom, with the address of the page and what
//! compression saves below it, and events scroll by above it. In a pipe or a file everything is
//! plain lines. A terminal that is stopped with Ctrl-S blocks its writers, so the writer is a
//! thread of its own.
//!
//! The terminal stays in its normal mode, with the cursor below the table: a program that is killed
//! leaves nothing to repair.
use crate::compression::Compressing;
use ratatui_core::layout::{Constraint, Rect};
use ratatui_core::terminal::{Terminal, TerminalOptions, Viewport};
use ratatui_core::{style::Style, text::Text, widgets::Widget};
use ratatui_crossterm::CrosstermBackend;
use ratatui_widgets::table::{Row, Table};
use std::io::{self, IsTerminal, Write};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use std::{net::SocketAddr, sync::Arc};
use wsx::Report;
use wsx::{CancellationToken, ConnectError, Connection, HandlerError, Observer, RejectionKind, http::StatusCode};

/// Maximum number of lines that wait for the screen. No task waits for it.
const MAX_WAITING: usize = 256;
/// Time between two drawings of the table on a terminal.
const REDRAW: Duration = Duration::from_millis(200);
/// Time between two lists of the boxes in a pipe or a file.
const RELIST: Duration = Duration::from_secs(1);

/// What the screen shows: a table, which changes all the time.
pub(crate) trait Shown: Send + Sync {
    /// Returns the title and the width of each column. A narrow terminal shows the first ones.
    fn columns(&self) -> &[(&'static str, u16)];
    /// Returns the cells of each row, in the order of the columns.
    fn cells(&self) -> Vec<Vec<String>>;
    /// Returns what a pipe or a file gets instead of the table.
    fn lines(&self) -> Vec<String> {
        let line = |row: Vec<String>| {
            let cells = self.columns().iter().zip(&row).skip(1).filter(|(_, cell)| !cell.is_empty());
            let cells: Vec<_> = cells.map(|((title, _), cell)| format!("{title} {cell}")).collect();
            format!("{}: {}", row[0], cells.join(", "))
        };
        self.cells().into_iter().map(line).collect()
    }
}

/// A cloneable handle of the thread.
#[derive(Debug, Clone)]
pub(crate) struct Screen(SyncSender<Word>);

#[derive(Debug)]
enum Word {
    Line(String),
    /// The address of the page. It stays below the table.
    Page(String),
    End,
}

impl Screen {
    /// Shows a line, or drops it if too many lines wait.
    pub(crate) fn say(&self, line: String) {
        let _ = self.0.try_send(Word::Line(line));
    }

    /// Shows the address of the page, if there is room as in [`say`](Self::say).
    pub(crate) fn say_page(&self, address: &str) {
        let _ = self.0.try_send(Word::Page(format!("page: {address}")));
    }

    /// Returns a screen that shows nothing.
    #[cfg(feature = "nats")]
    pub(crate) fn silent() -> Self {
        Self(sync_channel(0).0)
    }

    /// Ends the thread after the lines so far.
    pub(crate) fn end(&self) {
        // Fails if the thread has ended already.
        let _ = self.0.send(Word::End);
    }
}

/// Starts the thread. It triggers `unwatched` when it cannot write to standard output any more.
pub(crate) fn start(
    shown: Arc<dyn Shown>,
    compressing: Compressing,
    unwatched: CancellationToken,
) -> (Screen, JoinHandle<io::Result<()>>) {
    let (sender, words) = sync_channel(MAX_WAITING);
    let thread = thread::spawn(move || run(&*shown, &compressing, &words).inspect_err(|_| unwatched.cancel()));
    (Screen(sender), thread)
}

fn run(shown: &dyn Shown, compressing: &Compressing, words: &Receiver<Word>) -> io::Result<()> {
    let mut view = if io::stdout().is_terminal() { View::open(1).ok() } else { None };
    let mut next = Instant::now();
    let mut end = false;
    let mut page = None;
    while !end {
        let line = match words.recv_timeout(next.saturating_duration_since(Instant::now())) {
            Ok(Word::Line(line)) => Some(line),
            Ok(Word::Page(line)) => {
                page = Some(line.clone());
                Some(line)
            }
            Err(RecvTimeoutError::Timeout) => None,
            Ok(Word::End) | Err(RecvTimeoutError::Disconnected) => {
                end = true;
                // The last line of the program comes in its place.
                page = None;
                None
            }
        };
        let ratio = compressing.ratio().filter(|_| !end);
        let below = [page.clone(), ratio.clone()].into_iter().flatten().collect::<Vec<_>>().join(", ");
        // After an error everything is plain lines, as without a report of the cursor's place.
        view = view.and_then(|view| view.show(line.as_deref(), shown, &below).ok());
        match (&view, line) {
            (Some(_), _) => next = Instant::now() + REDRAW,
            (None, Some(line)) => writeln!(io::stdout(), "{line}")?,
            (None, None) => {
                let mut lines = shown.lines().into_iter().chain(ratio);
                lines.try_for_each(|line| writeln!(io::stdout(), "{line}"))?;
                next = Instant::now() + RELIST;
            }
        }
    }
    Ok(())
}

/// The table at the bottom of the terminal.
struct View {
    terminal: Terminal<CrosstermBackend<io::Stdout>>,
    height: u16,
}

impl View {
    fn open(height: u16) -> io::Result<Self> {
        let viewport = Viewport::Inline(height);
        let terminal = Terminal::with_options(CrosstermBackend::new(io::stdout()), TerminalOptions { viewport })?;
        Ok(Self { terminal, height })
    }

    /// Inserts a line above the table, and draws the table and the line below it.
    fn show(mut self, line: Option<&str>, shown: &dyn Shown, below: &str) -> io::Result<Self> {
        let rows = shown.cells();
        self.terminal.autoresize()?;
        // Header, boxes, and the cursor's line. Events scroll through at least two lines above.
        let most = self.terminal.size()?.height.saturating_sub(2).max(1);
        let height = u16::try_from(rows.len() + 2).map_or(most, |height| height.min(most));
        if height != self.height {
            let top = self.terminal.get_frame().area().as_position();
            self.terminal.clear()?;
            self.terminal.set_cursor_position(top)?;
            self = Self::open(height)?;
        }
        if let Some(line) = line {
            let width = usize::from(self.terminal.get_frame().area().width).max(1);
            let characters: Vec<char> = line.chars().collect();
            let parts: Text<'_> = characters.chunks(width).map(|part| part.iter().collect::<String>()).collect();
            let height = u16::try_from(parts.height()).unwrap_or(u16::MAX);
            self.terminal.insert_before(height, |buffer| parts.render(buffer.area, buffer))?;
        }
        self.terminal.draw(|frame| {
            let area = frame.area();
            if !rows.is_empty() {
                frame.render_widget(
                    table(&rows, shown.columns(), area.width),
                    Rect { height: area.height.saturating_sub(1), ..area },
                );
            }
            let last = Rect { y: area.bottom().saturating_sub(1), height: area.height.min(1), ..area };
            frame.render_widget(Text::from(below), last);
            frame.set_cursor_position(last.as_position());
        })?;
        Ok(self)
    }
}

/// Returns the table with the columns that fit.
fn table<'r>(rows: &'r [Vec<String>], columns: &[(&'static str, u16)], width: u16) -> Table<'r> {
    let longest = rows.iter().map(|row| row[0].len()).max().unwrap_or_default();
    let mut widths: Vec<_> = columns.iter().map(|(_, width)| *width).collect();
    widths[0] = widths[0].max(u16::try_from(longest).unwrap_or(u16::MAX));
    let mut used = 0;
    let shown = widths.into_iter().take_while(|column| {
        used += column + 1;
        used <= width + 1
    });
    let rows = rows.iter().map(|row| row.iter().map(String::as_str).collect::<Row<'_>>());
    let header = Row::new(columns.iter().map(|(title, _)| *title)).style(Style::new().bold());
    Table::new(rows, shown.map(Constraint::Length)).header(header)
}

/// Shows the problems that the library reports.
pub(crate) struct Problems {
    pub(crate) who: String,
    pub(crate) screen: Screen,
}

impl Observer for Problems {
    fn handler_failed(&self, conn: &Connection, message_type: &str, error: &HandlerError) {
        self.screen.say(format!("{}: {message_type:?} from {:?}: {}", self.who, conn.id(), Report(error)));
    }

    fn handshake_rejected(&self, _: Option<SocketAddr>, _: RejectionKind, status: StatusCode, why: &str) {
        self.screen.say(format!("{}: rejected a handshake with {status}: {why}", self.who));
    }

    fn connect_failed(&self, _: u32, delay: Duration, error: &ConnectError) {
        self.screen.say(format!("{}: {}; retrying in {delay:.1?}", self.who, Report(error)));
    }
}
