//! The lock file and what it says: versions, their shapes, and whether one reads the other. It does
//! not know the code.
pub(super) mod fits;
pub(super) mod lock;
pub(super) mod node;
pub(super) mod notation;
pub(super) mod shape;
pub(super) mod version;
