//! Locks, which keep other programs out that lock, too.

use std::fs;
use std::io;
use std::time::Duration;

use super::File;
use crate::pauses::Pauses;

/// The longest pause between two tries to lock.
const MAX_PAUSE: Duration = Duration::from_millis(50);

impl File {
    /// Waits for the exclusive lock of the file. It excludes only programs that lock the file, too.
    ///
    /// The system has no event for a lock, so it tries again after pauses that grow from 1 ms to 50 ms. The lock ends
    /// with [`unlock`](Self::unlock), or when the file is closed.
    ///
    /// # Cancellation
    ///
    /// Does not lock.
    ///
    /// # Errors
    ///
    /// The system's error with the path.
    #[doc(alias = "flock")]
    pub async fn lock(&self) -> io::Result<()> {
        self.lock_by(fs::File::try_lock).await
    }

    /// Waits for a shared lock of the file: any number of programs may have one at once.
    ///
    /// # Cancellation
    ///
    /// Does not lock.
    ///
    /// # Errors
    ///
    /// The system's error with the path.
    pub async fn lock_shared(&self) -> io::Result<()> {
        self.lock_by(fs::File::try_lock_shared).await
    }

    /// Takes the exclusive lock, if it is free. `false` if it is not.
    ///
    /// # Errors
    ///
    /// The system's error with the path.
    pub fn try_lock(&self) -> io::Result<bool> {
        self.try_lock_by(fs::File::try_lock)
    }

    /// Takes a shared lock, if there is no exclusive one. `false` if there is.
    ///
    /// # Errors
    ///
    /// The system's error with the path.
    pub fn try_lock_shared(&self) -> io::Result<bool> {
        self.try_lock_by(fs::File::try_lock_shared)
    }

    /// Ends the lock.
    ///
    /// # Errors
    ///
    /// The system's error with the path.
    pub fn unlock(&self) -> io::Result<()> {
        self.inner
            .unlock()
            .map_err(|error| self.name("unlock", error))
    }

    async fn lock_by(&self, lock: fn(&fs::File) -> Result<(), fs::TryLockError>) -> io::Result<()> {
        let here = asyncio_loop::try_running_loop().map_err(io::Error::other)?;
        // Another program has the lock, so virtual time does not jump.
        let _outside = here.outside_work();
        let mut pauses = Pauses::up_to(MAX_PAUSE);
        while !self.try_lock_by(lock)? {
            pauses.pause().await;
        }
        Ok(())
    }

    fn try_lock_by(&self, lock: fn(&fs::File) -> Result<(), fs::TryLockError>) -> io::Result<bool> {
        match lock(&self.inner) {
            Ok(()) => Ok(true),
            Err(fs::TryLockError::WouldBlock) => Ok(false),
            Err(fs::TryLockError::Error(error)) => Err(self.name("lock", error)),
        }
    }
}
