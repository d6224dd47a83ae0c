//! Without the feature `deflate`, no connection agrees on compression. These types have no values,
//! so the compiler removes the code that would use them.
use crate::wire::{deflate::Compression, role::Role, violation::Violation};

#[derive(Clone, Copy, Debug)]
pub(crate) enum Agreed {}

#[derive(Debug)]
pub(crate) enum Inflater {}

#[derive(Debug)]
pub(crate) enum Deflater {}

impl Inflater {
    pub(crate) fn new(agreed: Agreed) -> Self {
        match agreed {}
    }

    pub(crate) fn inflate(&mut self, _: &[u8], _: usize) -> Result<Option<Vec<u8>>, Violation> {
        match *self {}
    }

    pub(crate) fn is_spent(&self) -> bool {
        match *self {}
    }

    pub(crate) fn begin_turn(&mut self) {
        match *self {}
    }

    pub(crate) fn take_surplus(&mut self) -> usize {
        match *self {}
    }

    pub(crate) fn work(&mut self) -> &mut Compression {
        match *self {}
    }
}

impl Deflater {
    pub(crate) fn new(agreed: Agreed, _: Role) -> Option<Self> {
        match agreed {}
    }

    pub(crate) fn has_work(_: &[u8]) -> bool {
        false
    }

    pub(crate) fn rewrite(&mut self, _: &[u8]) -> Vec<u8> {
        match *self {}
    }

    pub(crate) fn work(&mut self) -> &mut Compression {
        match *self {}
    }
}
