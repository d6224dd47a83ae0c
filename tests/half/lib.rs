//! Nothing: the programs under `pass` and `fail` use wsx as a protocol crate does.
