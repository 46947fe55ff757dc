//! What is granted, and who holds it.

/// What a handle lets its recipient do with the memory.
///
/// ```
/// use ringlane::handle::Access;
/// assert!(Access::ReadWrite.allows(Access::ReadOnly));
/// assert!(!Access::ReadOnly.allows(Access::WriteOnly));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Access {
    /// To read.
    #[doc(alias = "O_RDONLY")]
    ReadOnly,
    /// To read and to write.
    #[doc(alias = "O_RDWR")]
    ReadWrite,
    /// To write. No processor that this runs on can map memory to be written and not read, so this library alone keeps
    /// the recipient from reading.
    #[doc(alias = "O_WRONLY")]
    WriteOnly,
}

impl Access {
    /// Whether who has this may have that.
    ///
    /// ```
    /// use ringlane::handle::Access;
    /// assert!(Access::ReadOnly.allows(Access::ReadOnly));
    /// ```
    pub fn allows(self, other: Access) -> bool {
        self == Access::ReadWrite || self == other
    }

    pub(super) fn read_write(self) -> (bool, bool) {
        (self != Access::WriteOnly, self != Access::ReadOnly)
    }

    /// The access that consists of these two.
    pub(super) fn of(read: bool, write: bool) -> Option<Access> {
        match (read, write) {
            (true, true) => Some(Access::ReadWrite),
            (true, false) => Some(Access::ReadOnly),
            (false, true) => Some(Access::WriteOnly),
            (false, false) => None,
        }
    }

    pub(super) fn to_wire(self) -> u32 {
        match self {
            Access::ReadOnly => 0,
            Access::ReadWrite => 1,
            Access::WriteOnly => 2,
        }
    }

    pub(super) fn from_wire(number: u32) -> Option<Access> {
        let all = [Access::ReadOnly, Access::ReadWrite, Access::WriteOnly];
        all.into_iter().find(|access| access.to_wire() == number)
    }
}

/// Who holds a promise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Guarantee {
    /// The kernel: whatever the recipient does.
    Kernel,
    /// The broker, in the creator's process, on the kernel's word about who asks: whatever the recipient does.
    Broker,
    /// This library in the recipient's process: as long as the recipient means well.
    Library,
    /// Nobody: it was not asked for, or cannot be had.
    Nobody,
}

/// Who holds each of the promises of one handle, see [`Broker::guarantees`](crate::handle::Broker::guarantees).
///
/// ```
/// use ringlane::SharedMemory;
/// use ringlane::handle::{Access, Broker, Guarantee, HandleOptions, Recipient};
///
/// let (broker, memory) = (Broker::start()?, SharedMemory::anonymous(4096)?);
/// let mine = memory.map()?; // before nobody can write any more
/// let mut options = HandleOptions::new();
/// options.seal_writes(true);
/// let me = Recipient::process(std::process::id())?;
/// let handle = broker.create(&memory, &me, Access::ReadOnly, &options)?;
/// let held = broker.guarantees(handle.id())?;
/// assert_eq!(held.access, Guarantee::Kernel);
/// assert_eq!(held.recipient, Guarantee::Broker);
/// # Ok::<(), ringlane::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Guarantees {
    /// Only the process that it was made for can redeem it. The recipient can pass on what it got.
    pub recipient: Guarantee,
    /// It is redeemed once.
    pub single_use: Guarantee,
    /// No more access than was granted. For reading only, the kernel holds it where the memory
    /// [is sealed](crate::SharedMemory::seal_writes) against writers; elsewhere a process of the same user can open a
    /// read-only descriptor anew, through `/proc`. On Windows the kernel holds it for all memory without a name.
    pub access: Guarantee,
    /// The recipient gets no descriptor.
    pub no_descriptor: Guarantee,
    /// The recipient gets at no more than the part that was granted.
    pub subrange: Guarantee,
    /// It cannot be redeemed after its time.
    pub expiry: Guarantee,
    /// What was mapped is not there in forked children of the recipient.
    pub not_inherited: Guarantee,
    /// Nobody can change the size of the memory, so no page of it can vanish.
    pub size: Guarantee,
    /// A handle that was not redeemed can be deleted and revoked.
    pub revoke_unused: Guarantee,
    /// Calls of this library in the recipient end with `Revoked` after
    /// [`Revoke::Cooperative`](crate::handle::Revoke::Cooperative).
    pub revoke: Guarantee,
    /// The bytes are zeroes after [`Revoke::Wipe`](crate::handle::Revoke::Wipe), wherever they are mapped.
    pub wipe: Guarantee,
    /// The pages are gone after [`Revoke::Fault`](crate::handle::Revoke::Fault), wherever they are mapped.
    pub fault: Guarantee,
}
