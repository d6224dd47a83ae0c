//! Values that a program attaches to a connection, one of each type. It has no lock; the handle
//! has.
use crate::catch_panic;
use std::{
    any::{Any, TypeId},
    collections::HashMap,
    sync::Arc,
};

/// One value of each type. Each is in an `Arc`, so that it is cloned and dropped without a lock.
///
/// `http::Extensions` would clone a value while the lock of the connection is held.
#[derive(Default)]
pub(crate) struct Extensions(HashMap<TypeId, Arc<dyn Any + Send + Sync>>);

impl Extensions {
    /// Adds a value. Returns the earlier value of the same type.
    pub(crate) fn insert<T: Send + Sync + 'static>(&mut self, value: T) -> Option<Arc<dyn Any + Send + Sync>> {
        self.0.insert(TypeId::of::<T>(), Arc::new(value))
    }

    /// Returns the value of type `T`, in its `Arc`.
    pub(crate) fn get<T: Send + Sync + 'static>(&self) -> Option<Arc<T>> {
        self.0.get(&TypeId::of::<T>())?.clone().downcast().ok()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// The drop of a value runs code of the program, and wsx drops the last handle of a connection in
/// its own tasks.
impl Drop for Extensions {
    fn drop(&mut self) {
        for (_, value) in self.0.drain() {
            let _ = catch_panic::call(|| drop(value));
        }
    }
}
