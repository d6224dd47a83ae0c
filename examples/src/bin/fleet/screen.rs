//! Standard output, owned by one thread: all else sends it lines.
//!
//! On a terminal the table of boxes stays at the bottom and is drawn anew in place, and what happens scrolls by above
//! it. In a pipe or a file everything is plain lines. A thread of its own, since a terminal that is stopped with Ctrl-S
//! blocks whoever writes to it.
use crate::{
    board::Board,
    failure::{Failure, one_line},
    table::{self, Form},
};
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

/// Lines that wait for the screen at most. Those that find no room are not shown; nobody waits for a screen.
const WAITING: usize = 256;
/// Between two drawings of the table on a terminal.
const REDRAW: Duration = Duration::from_millis(200);
/// Between two times that the boxes are listed in a pipe.
const RELIST: Duration = Duration::from_secs(1);

/// What is to be shown.
enum Line {
    /// To standard output: something happened.
    Event(String),
    /// To standard error: something went wrong, and the program goes on.
    Problem(String),
    /// No more lines.
    End,
}

/// A cloneable handle of the thread.
#[derive(Debug, Clone)]
pub(crate) struct Screen(SyncSender<Line>);

/// The thread itself.
#[derive(Debug)]
pub(crate) struct Painter {
    screen: Screen,
    thread: JoinHandle<io::Result<()>>,
}

/// Starts the thread. `unwatched` is triggered when standard output cannot be written to any more.
pub(crate) fn start(board: Arc<Board>, unwatched: CancellationToken) -> Result<Painter, Failure> {
    let (sender, lines) = sync_channel(WAITING);
    let name = "screen".to_owned();
    let terminal = io::stdout().is_terminal();
    let thread = thread::Builder::new().name(name.clone()).spawn(move || {
        let painted = Canvas { board, terminal, drawn: 0 }.run(&lines);
        if painted.is_err() {
            unwatched.cancel();
        }
        painted
    });
    let thread = thread.map_err(|source| Failure::Thread { name, source })?;
    Ok(Painter { screen: Screen(sender), thread })
}

impl Painter {
    /// For those that have something to show.
    pub(crate) fn screen(&self) -> Screen {
        self.screen.clone()
    }

    /// Waits until every line so far has been shown. Standard output is free then.
    pub(crate) fn finish(self) -> Result<(), Failure> {
        // A thread that has ended has no use for the word.
        let _ = self.screen.0.send(Line::End);
        self.thread.join().map_err(|_| Failure::Ended("the screen"))?.map_err(Failure::Output)
    }
}

impl Screen {
    /// Something happened.
    pub(crate) fn event(&self, line: String) {
        // No room: the screen is stopped, and the line is not worth waiting for.
        let _ = self.0.try_send(Line::Event(line));
    }

    /// Something went wrong, and the program goes on.
    pub(crate) fn problem(&self, line: String) {
        // As above.
        let _ = self.0.try_send(Line::Problem(line));
    }
}

/// What the thread owns.
struct Canvas {
    board: Arc<Board>,
    terminal: bool,
    /// Lines of the table that stand on the terminal at present, above the cursor.
    drawn: usize,
}

impl Canvas {
    fn run(mut self, lines: &Receiver<Line>) -> io::Result<()> {
        let pause = if self.terminal { REDRAW } else { RELIST };
        let mut next = Instant::now() + pause;
        loop {
            match lines.recv_timeout(next.saturating_duration_since(Instant::now())) {
                Ok(Line::Event(line)) => self.write(&line)?,
                Ok(Line::Problem(line)) => self.complain(&line)?,
                Ok(Line::End) | Err(RecvTimeoutError::Disconnected) => return self.end(),
                Err(RecvTimeoutError::Timeout) => {}
            }
            if Instant::now() >= next {
                next = Instant::now() + pause;
                self.table()?;
            }
        }
    }

    /// Shows the table once more. On a terminal it has room in one place alone, so the old one goes.
    fn table(&mut self) -> io::Result<()> {
        let form = if self.terminal { Form::Columns } else { Form::Sentences };
        let lines = table::lines(&self.board.rows(), form);
        let erase = self.erase();
        if self.terminal {
            self.drawn = lines.len();
        }
        let lines: String = lines.iter().map(|line| format!("{line}\n")).collect();
        self.print(&(erase + &lines))
    }

    fn write(&mut self, line: &str) -> io::Result<()> {
        let erase = self.erase();
        self.print(&format!("{erase}{line}\n"))?;
        if self.terminal { self.table() } else { Ok(()) }
    }

    fn complain(&mut self, line: &str) -> io::Result<()> {
        let erase = self.erase();
        self.print(&erase)?;
        // Where nobody reads standard error, nobody misses this.
        let _ = writeln!(io::stderr(), "{line}");
        if self.terminal { self.table() } else { Ok(()) }
    }

    /// The last table stays on the terminal, above the summary.
    fn end(&mut self) -> io::Result<()> {
        if self.terminal { self.table() } else { Ok(()) }
    }

    /// What takes the table from the terminal: up as many lines as it has, and clear from there.
    fn erase(&mut self) -> String {
        match std::mem::take(&mut self.drawn) {
            0 => String::new(),
            drawn => format!("\x1b[{drawn}A\r\x1b[J"),
        }
    }

    fn print(&self, text: &str) -> io::Result<()> {
        let mut output = io::stdout().lock();
        if self.terminal {
            // Without automatic wrapping a line that is too long is cut, and the count of lines stays true.
            write!(output, "\x1b[?7l{text}\x1b[?7h")?;
        } else {
            output.write_all(text.as_bytes())?;
        }
        output.flush()
    }
}

/// Shows what goes wrong inside of the library, with the name of the end that saw it.
pub(crate) struct Problems {
    pub(crate) who: String,
    pub(crate) screen: Screen,
}

impl Observer for Problems {
    fn handler_failed(&self, conn: &Connection, message_type: &str, error: &HandlerError) {
        self.screen.problem(format!("{}: {message_type:?} of {:?}: {}", self.who, conn.id(), one_line(error)));
    }

    fn message_ignored(&self, conn: &Connection, message_type: &str) {
        // The type is the peer's own word: cut, and escaped.
        let shown: String = message_type.chars().take(40).collect();
        self.screen.problem(format!("{}: nobody handles {shown:?} of {:?}", self.who, conn.id()));
    }

    fn handshake_rejected(&self, peer: Option<SocketAddr>, status: StatusCode, why: &str) {
        let peer = peer.map_or_else(|| "somebody".to_owned(), |peer| peer.to_string());
        self.screen.problem(format!("{}: refused {peer} with {status}: {why}", self.who));
    }

    fn connect_failed(&self, _: u32, delay: Duration, error: &ConnectError) {
        let line = format!("{}: {}; the next in {delay:.1?}", self.who, one_line(error));
        self.screen.problem(line);
    }
}
