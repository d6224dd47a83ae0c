//! Standard output, which one thread owns. All other code sends it lines.
//!
//! On a terminal the table of boxes stays at the bottom, and events scroll by above it. In a pipe or a file everything is
//! plain lines. A terminal that is stopped with Ctrl-S blocks its writers, so the writer is a thread of its own.
//!
//! The terminal stays in its normal mode, with the cursor below the table: a program that is killed leaves nothing to repair.
use crate::board::{Board, COLUMNS};
use ratatui_core::{
    layout::{Constraint, Rect},
    style::Style,
    terminal::{Terminal, TerminalOptions, Viewport},
    text::Text,
    widgets::Widget,
};
use ratatui_crossterm::CrosstermBackend;
use ratatui_widgets::table::{Row, Table};
use std::{
    io::{self, IsTerminal, Write},
    net::SocketAddr,
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};
use wsx::{CancellationToken, ConnectError, Connection, HandlerError, Observer, http::StatusCode};
use wsx_examples::Report;

/// Maximum number of lines that wait for the screen. Further lines are dropped, because no task waits for a screen.
const MAX_WAITING: usize = 256;
/// Time between two drawings of the table on a terminal.
const REDRAW: Duration = Duration::from_millis(200);
/// Time between two lists of the boxes in a pipe or a file.
const RELIST: Duration = Duration::from_secs(1);

/// A cloneable handle of the thread.
#[derive(Debug, Clone)]
pub(crate) struct Screen(SyncSender<Option<String>>);

impl Screen {
    /// Shows a line.
    pub(crate) fn say(&self, line: String) {
        let _ = self.0.try_send(Some(line));
    }

    /// Ends the thread after the lines so far.
    pub(crate) fn end(&self) {
        // Fails if the thread has ended already.
        let _ = self.0.send(None);
    }
}

/// Starts the thread. It triggers `unwatched` when it cannot write to standard output any more.
pub(crate) fn start(
    board: Arc<Board>,
    table: bool,
    unwatched: CancellationToken,
) -> (Screen, JoinHandle<io::Result<()>>) {
    let (sender, lines) = sync_channel(MAX_WAITING);
    let thread = thread::spawn(move || {
        let view = if table && io::stdout().is_terminal() { View::open(0).ok() } else { None };
        Canvas { board, view }.run(&lines).inspect_err(|_| unwatched.cancel())
    });
    (Screen(sender), thread)
}

/// The state of the thread.
struct Canvas {
    board: Arc<Board>,
    /// The table on a terminal. Without it, everything is plain lines.
    view: Option<View>,
}

impl Canvas {
    fn run(mut self, lines: &Receiver<Option<String>>) -> io::Result<()> {
        let mut next = Instant::now();
        loop {
            match lines.recv_timeout(next.saturating_duration_since(Instant::now())) {
                Ok(Some(line)) if self.draw(|view| view.insert(&line)) => {}
                Ok(Some(line)) => writeln!(io::stdout(), "{line}")?,
                Ok(None) | Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {}
            }
            if Instant::now() >= next {
                self.table()?;
                next = Instant::now() + if self.view.is_some() { REDRAW } else { RELIST };
            }
        }
        self.draw(|_| Ok(()));
        Ok(())
    }

    fn table(&mut self) -> io::Result<()> {
        if self.draw(|_| Ok(())) {
            return Ok(());
        }
        for row in self.board.cells() {
            let cells = COLUMNS.iter().zip(&row).skip(1).filter(|(_, cell)| !cell.is_empty());
            let cells: Vec<_> = cells.map(|((title, _), cell)| format!("{title} {cell}")).collect();
            writeln!(io::stdout(), "{}: {}", row[0], cells.join(", "))?;
        }
        Ok(())
    }

    /// Changes the view, and draws the table. Returns whether there is a view. After an error there is none, as on a
    /// terminal that does not say where its cursor is.
    fn draw(&mut self, change: impl FnOnce(&mut View) -> io::Result<()>) -> bool {
        let rows = self.board.cells();
        let drawn = self.view.as_mut().is_some_and(|view| change(view).and_then(|()| view.draw(rows)).is_ok());
        if !drawn {
            self.view = None;
        }
        drawn
    }
}

/// The table at the bottom of the terminal.
struct View {
    terminal: Terminal<CrosstermBackend<io::Stdout>>,
    boxes: usize,
}

impl View {
    /// Makes room for the header, the boxes, and the line of the cursor.
    fn open(boxes: usize) -> io::Result<Self> {
        let viewport = Viewport::Inline(u16::try_from(boxes).unwrap_or(u16::MAX).saturating_add(2));
        let terminal = Terminal::with_options(CrosstermBackend::new(io::stdout()), TerminalOptions { viewport })?;
        Ok(Self { terminal, boxes })
    }

    /// Inserts a line above the table. A long line becomes several.
    fn insert(&mut self, line: &str) -> io::Result<()> {
        self.terminal.autoresize()?;
        let width = usize::from(self.terminal.get_frame().area().width).max(1);
        let characters: Vec<char> = line.chars().collect();
        let rows: Text<'_> = characters.chunks(width).map(|row| row.iter().collect::<String>()).collect();
        let height = u16::try_from(rows.height()).unwrap_or(u16::MAX);
        self.terminal.insert_before(height, |buffer| rows.render(buffer.area, buffer))
    }

    fn draw(&mut self, rows: Vec<Vec<String>>) -> io::Result<()> {
        if rows.len() != self.boxes {
            let top = self.terminal.get_frame().area().as_position();
            self.terminal.clear()?;
            self.terminal.set_cursor_position(top)?;
            *self = Self::open(rows.len())?;
        }
        self.terminal.draw(|frame| {
            let area = frame.area();
            let longest = rows.iter().map(|row| row[0].len()).max().unwrap_or_default();
            let mut widths = COLUMNS.map(|(_, width)| width);
            widths[0] = widths[0].max(u16::try_from(longest).unwrap_or(u16::MAX));
            let mut used = 0;
            let shown = widths.iter().take_while(|width| {
                used += **width + 1;
                used <= area.width + 1
            });
            let table = Table::new(rows.into_iter().map(Row::new), shown.copied().map(Constraint::Length))
                .header(Row::new(COLUMNS.map(|(title, _)| title)).style(Style::new().bold()));
            frame.render_widget(table, Rect { height: area.height.saturating_sub(1), ..area });
            frame.set_cursor_position((area.x, area.bottom().saturating_sub(1)));
        })?;
        Ok(())
    }
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

    fn message_ignored(&self, conn: &Connection, message_type: &str) {
        // The peer chooses the type, so it is cut and escaped.
        let shown: String = message_type.chars().take(40).collect();
        self.screen.say(format!("{}: no handler for {shown:?} from {:?}", self.who, conn.id()));
    }

    fn handshake_rejected(&self, _: Option<SocketAddr>, status: StatusCode, why: &str) {
        self.screen.say(format!("{}: rejected a handshake with {status}: {why}", self.who));
    }

    fn connect_failed(&self, _: u32, delay: Duration, error: &ConnectError) {
        self.screen.say(format!("{}: {}; retrying in {delay:.1?}", self.who, Report(error)));
    }
}
