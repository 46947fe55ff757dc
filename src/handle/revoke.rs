//! Taking back.

use super::table::{Table, unknown};
use super::{Broker, HandleId, Recipient};
use crate::error::{Error, ErrorKind, Result};

/// How memory is taken back from who has redeemed a handle that was [made for it](crate::handle::HandleOptions::revocable).
///
/// Each is stronger and ruder than the one before. None takes what was copied, and none reaches memory that was given
/// by a handle that was not revocable.
///
/// ```
/// use ringlane::{ErrorKind, SharedMemory};
/// use ringlane::handle::{Access, Broker, HandleOptions, Recipient, Revoke};
///
/// let (broker, memory) = (Broker::start()?, SharedMemory::anonymous(4096)?);
/// memory.map()?.write_at(0, b"secret")?;
/// let me = Recipient::process(std::process::id())?;
/// let mut options = HandleOptions::new();
/// let handle = broker.create(&memory, &me, Access::ReadOnly, options.revocable(true))?;
/// let mapping = handle.open(Access::ReadOnly)?.map()?;
/// broker.revoke(&me, Revoke::Wipe)?;
/// assert_eq!(mapping.read_at(0, &mut [0; 6]).unwrap_err().kind(), ErrorKind::Revoked);
/// # Ok::<(), ringlane::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Revoke {
    /// Calls of this library in the recipient's process end with [`ErrorKind::Revoked`]. A recipient that goes around the
    /// library keeps what it has mapped: write what it shall not see elsewhere.
    Cooperative,
    /// The same, and the bytes become zeroes in every mapping, the creator's among them, and those of who had them by a
    /// handle that was not revocable; whatever the recipient does. Nobody is ended by a signal.
    Wipe,
    /// The same as the first, and the pages are gone: whoever touches one through a pointer is ended by a SIGBUS. That
    /// goes for the creator, too, also by way of its own [`Mapping`](crate::Mapping); calls of this library in the
    /// recipient have the kernel copy, and end with an error. The descriptor is of no bytes from then on. For memory
    /// whose size is not sealed, so that recipients that may write can shorten it as well; so not on Windows, where all
    /// sizes stay.
    Fault,
}

/// What was taken back.
///
/// ```
/// # use ringlane::handle::{Access, Broker, HandleOptions, Recipient, Revoke};
/// # let (broker, memory) = (Broker::start()?, ringlane::SharedMemory::anonymous(4096)?);
/// # let me = Recipient::process(std::process::id())?;
/// broker.create(&memory, &me, Access::ReadOnly, &HandleOptions::new())?;
/// let done = broker.revoke_all(Revoke::Cooperative)?;
/// assert_eq!((done.deleted, done.taken_back), (1, 0));
/// # Ok::<(), ringlane::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Revoked {
    /// Handles that were not redeemed, and are void now.
    pub deleted: usize,
    /// Handles that were redeemed, whose memory was taken back.
    pub taken_back: usize,
}

impl Broker {
    /// Takes back all that one process has, or could have, of this broker: handles that were not redeemed are void, and
    /// what was redeemed of revocable ones is taken back in this way.
    ///
    /// # Errors
    /// Before anything is done: [`ErrorKind::Unsupported`] if some of the memory cannot be taken back so, see
    /// [`guarantees`](Self::guarantees); [`ErrorKind::InUse`] if it is to be wiped or cut off, and another recipient of
    /// this broker has bytes of it, too; [`ErrorKind::PermissionDenied`] in a forked child. And what the operating
    /// system says; then it is taken back as if by [`Revoke::Cooperative`].
    ///
    /// ```
    /// # use ringlane::handle::{Access, Broker, HandleOptions, Recipient, Revoke};
    /// # let (broker, memory) = (Broker::start()?, ringlane::SharedMemory::anonymous(4096)?);
    /// # let me = Recipient::process(std::process::id())?;
    /// let handle = broker.create(&memory, &me, Access::ReadOnly, &HandleOptions::new())?;
    /// broker.revoke(&me, Revoke::Cooperative)?;
    /// assert!(handle.open(Access::ReadOnly).is_err());
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    #[doc(alias = "shm_revoke")]
    pub fn revoke(&self, recipient: &Recipient, how: Revoke) -> Result<Revoked> {
        let done = self.take_back(how, |table| Ok(table.of(recipient)));
        done.map_err(|e| e.on(format_args!("revoke what process {} has", recipient.pid())))
    }

    /// The same for all recipients.
    ///
    /// # Errors
    /// As [`revoke`](Self::revoke).
    ///
    /// ```
    /// # use ringlane::handle::{Broker, Revoke};
    /// # let broker = Broker::start()?;
    /// broker.revoke_all(Revoke::Wipe)?;
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    #[doc(alias = "shm_revoke")]
    pub fn revoke_all(&self, how: Revoke) -> Result<Revoked> {
        let all = |table: &Table| Ok(table.iter().map(|(id, _)| id).collect());
        self.take_back(how, all).map_err(|e| e.on("revoke all handles"))
    }

    /// The same for one handle, whether it was redeemed or not.
    ///
    /// # Errors
    /// As [`revoke`](Self::revoke), and [`ErrorKind::InvalidHandle`] if there is no such handle, as after it was redeemed
    /// and was not revocable, or its recipient has ended.
    ///
    /// ```
    /// # use ringlane::handle::{Access, Broker, HandleOptions, Recipient, Revoke};
    /// # let (broker, memory) = (Broker::start()?, ringlane::SharedMemory::anonymous(4096)?);
    /// # let me = Recipient::process(std::process::id())?;
    /// let handle = broker.create(&memory, &me, Access::ReadOnly, &HandleOptions::new())?;
    /// broker.revoke_handle(handle.id(), Revoke::Cooperative)?;
    /// assert!(broker.revoke_handle(handle.id(), Revoke::Cooperative).is_err());
    /// # Ok::<(), ringlane::Error>(())
    /// ```
    pub fn revoke_handle(&self, id: HandleId, how: Revoke) -> Result<Revoked> {
        let one = |table: &Table| table.get(id).map(|_| vec![id]).ok_or_else(unknown);
        self.take_back(how, one).map_err(|e| e.on("revoke a handle"))
    }

    fn take_back(
        &self,
        how: Revoke,
        which: impl FnOnce(&Table) -> Result<Vec<HandleId>>,
    ) -> Result<Revoked> {
        self.inner.check_owner()?;
        let mut table = self.inner.table();
        let ids = which(&table)?;
        check(&table, &ids, how)?;
        let (mut done, mut failed) = (Revoked::default(), None);
        for id in ids {
            let Some(entry) = table.remove(id, &self.inner.poller) else { continue };
            match entry.grip.filter(|_| entry.used) {
                Some(grip) => {
                    done.taken_back += 1;
                    failed = failed.or(grip.pull(how).err());
                }
                None => done.deleted += 1,
            }
        }
        failed.map_or(Ok(done), Err)
    }
}

/// Whether all of these can be taken back in this way, and no one else suffers.
fn check(table: &Table, ids: &[HandleId], how: Revoke) -> Result<()> {
    if how == Revoke::Cooperative {
        return Ok(());
    }
    let chosen: std::collections::HashSet<_> = ids.iter().collect();
    let used = ids.iter().filter_map(|id| table.get(*id)).filter(|entry| entry.used);
    let mut spans = Vec::new();
    for (entry, grip) in used.filter_map(|entry| entry.grip.as_ref().map(|grip| (entry, grip))) {
        grip.check(how)?;
        let (object, from, to) = entry.span();
        // The pages of all parts go.
        let (from, to) = if how == Revoke::Fault { (0, u64::MAX) } else { (from, to) };
        spans.push((object, from, to, false));
    }
    let others = table.iter().filter(|(id, _)| !chosen.contains(id));
    spans.extend(others.map(|(_, other)| other.span()).map(|(of, from, to)| (of, from, to, true)));
    if meet(spans) {
        return Err(Error::new(ErrorKind::InUse, "another handle has bytes of the same memory"));
    }
    Ok(())
}

/// Whether any of an object's spans that are others' shares bytes with one that is not. In one go, as there may be very
/// many, and the broker waits meanwhile.
fn meet(mut spans: Vec<((u64, u64), u64, u64, bool)>) -> bool {
    spans.sort_unstable();
    // Where the spans so far end: ours, and others'.
    let (mut at, mut ends) = (None, [0, 0]);
    spans.into_iter().any(|(object, from, to, other)| {
        if at.replace(object) != Some(object) {
            ends = [0, 0];
        }
        let own = usize::from(other);
        ends[own] = to.max(ends[own]);
        from < ends[1 - own]
    })
}
