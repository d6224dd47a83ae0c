//! Why `fleet` could not do its work, said in one line.
use std::{error::Error, io};
use wsx::{BuildError, ConnectError, SendError};

#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error("cannot start the runtime")]
    Runtime(#[source] io::Error),
    #[error("cannot start the thread {name:?}")]
    Thread { name: String, source: io::Error },
    #[error("cannot wait for Ctrl-C")]
    Signals(#[source] io::Error),
    #[error("cannot write to standard output")]
    Output(#[source] io::Error),
    #[error("cannot listen on {address}{hint}", hint = wsx_examples::port_hint(.source))]
    Listen { address: String, source: io::Error },
    #[error("the handlers do not fit together")]
    Start(#[from] BuildError),
    #[error("{id} cannot connect")]
    Connect { id: String, source: ConnectError },
    #[error("{id} cannot send")]
    Send { id: String, source: SendError },
    #[error("{id} takes no samples any more: its thread has ended")]
    Sampler { id: String },
    /// A panic has said why already.
    #[error("{0} ended before its time")]
    Ended(&'static str),
    #[error("{0} did not end in time")]
    Late(&'static str),
}

/// The error with its causes, in one line.
pub(crate) fn one_line(error: &dyn Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        line.push_str(": ");
        line.push_str(&error.to_string());
        cause = error.source();
    }
    line.replace('\n', " ")
}
