//! What the front ends of all queues have alike: options, ways to make and open, what any end can say and do.
//!
//! Macros and not traits, so that each queue has methods of its own, with examples of its own. `module` and
//! `queue` are what those examples call it, `noun` is what its documentation does, and `ring` its errors.

use crate::error::{Error, ErrorKind, Result};

/// What a ring of values may have room for.
pub(super) fn power_of_two(capacity: usize) -> Result<()> {
    if capacity.is_power_of_two() {
        return Ok(());
    }
    let text = format!("capacity {capacity} is not a power of two");
    Err(Error::new(ErrorKind::InvalidSize, text))
}

/// Methods of `Options`, inside its `impl`. It has a `tag`, a `how`, and says the spec of a new queue and that
/// of one which is opened: `new_spec()` and `spec()`. `refused` is what the error also says of a spec that
/// cannot be hosted.
macro_rules! options {
    (
        module: $module:literal,
        queue: $queue:literal,
        noun: $noun:literal,
        ring: $ring:literal,
        $(#[doc = $start_doc:literal])*
        start: $start:ident => $first:expr,
        impossible: $impossible:literal,
        incompatible: $incompatible:literal,
        opened: $opened:literal,
        sent: $sent:literal,
        received: $received:literal,
        makes: $Queue:ty,
        $(refused: $refused:literal,)?
    ) => {
        /// A text that both sides must give alike, such as the name and version of a message format: what the
        /// bytes mean is told apart by nothing else. Default: empty.
        ///
        /// ```
        #[doc = concat!("let options = ringlane::", $module, "::", $queue, "::options().tag(\"order ids\").clone();")]
        /// ```
        pub fn tag(&mut self, tag: &str) -> &mut Self {
            self.tag = $crate::layout::tag_of(tag);
            self
        }

        #[doc = concat!("The permission bits of a new ", $noun, "'s object. Default: 0600, only this user.")]
        ///
        /// ```
        #[doc = concat!("let options = ringlane::", $module, "::", $queue, "::options().mode(0o660).clone();")]
        /// ```
        pub fn mode(&mut self, mode: u32) -> &mut Self {
            self.how.mode = mode;
            self
        }

        #[doc = concat!("When the name of a new ", $noun, " goes. Default: with its creator.")]
        ///
        /// ```
        #[doc = concat!("use ringlane::{Lifetime, ", $module, "};")]
        #[doc = concat!("let options = ", $module, "::", $queue, "::options().lifetime(Lifetime::Persistent).clone();")]
        /// ```
        pub fn lifetime(&mut self, lifetime: $crate::shm::Lifetime) -> &mut Self {
            self.how.lifetime = lifetime;
            self
        }

        #[doc = concat!("Whether a ", $noun, " may be opened that is another user's, or that every user may write to, see")]
        /// [`OpenOptions::allow_foreign`](crate::OpenOptions::allow_foreign). Default: no.
        ///
        /// ```
        #[doc = concat!("let options = ringlane::", $module, "::", $queue, "::options().allow_foreign(true).clone();")]
        /// ```
        pub fn allow_foreign(&mut self, yes: bool) -> &mut Self {
            self.how.foreign = yes;
            self
        }

        $(#[doc = $start_doc])*
        #[doc(hidden)]
        pub fn start(&mut self, $start: u64) -> &mut Self {
            self.how.start = $first;
            self
        }

        fn make(&self, name: Option<&$crate::shm::Name>) -> $crate::error::Result<$Queue> {
            let segment = $crate::layout::Segment::create(&self.new_spec()?, &self.how, name)?;
            Ok(<$Queue>::of(segment))
        }

        #[doc = concat!("Makes a new ", $noun, ". It appears whole, under a name that nothing has.")]
        ///
        /// # Errors
        /// [`ErrorKind::AlreadyExists`](crate::ErrorKind::AlreadyExists),
        #[doc = concat!("[`ErrorKind::InvalidSize`](crate::ErrorKind::InvalidSize) ", $impossible, ",")]
        /// [`ErrorKind::NoSpace`](crate::ErrorKind::NoSpace) if the memory is not there.
        ///
        /// ```
        #[doc = concat!("let name = ringlane::Name::new(\"ringlane-doc-", $module, "-options-create\")?;")]
        #[doc = concat!("let ", $noun, " = ringlane::", $module, "::", $queue, "::options().create(&name)?;")]
        /// # Ok::<(), ringlane::Error>(())
        /// ```
        pub fn create(&self, name: &$crate::shm::Name) -> $crate::error::Result<$Queue> {
            let made = self.make(Some(name));
            made.map_err(|e| e.on(format_args!(concat!("create ", $ring, " {:?}"), name.as_str())))
        }

        #[doc = concat!("Makes a new ", $noun, " without a name, for the threads of one process.")]
        ///
        /// # Errors
        /// As [`create`](Self::create), but for the name.
        ///
        /// ```
        #[doc = concat!("let ", $noun, " = ringlane::", $module, "::", $queue, "::options().private()?;")]
        /// # Ok::<(), ringlane::Error>(())
        /// ```
        pub fn private(&self) -> $crate::error::Result<$Queue> {
            self.make(None).map_err(|e| e.on(concat!("create a private ", $ring)))
        }

        #[doc = concat!("Opens the ", $noun, " of this name.", $opened)]
        ///
        /// # Errors
        /// [`ErrorKind::NotFound`](crate::ErrorKind::NotFound),
        /// [`ErrorKind::PermissionDenied`](crate::ErrorKind::PermissionDenied),
        #[doc = concat!("[`ErrorKind::Incompatible`](crate::ErrorKind::Incompatible) ", $incompatible, ",")]
        /// [`ErrorKind::Corrupt`](crate::ErrorKind::Corrupt) if it is nothing of this crate's, or was truncated.
        ///
        /// ```
        #[doc = concat!("use ringlane::{ErrorKind, Name, ", $module, "};")]
        #[doc = concat!("let name = Name::new(\"ringlane-doc-", $module, "-options-open\")?;")]
        #[doc = concat!("let ", $noun, " = ", $module, "::", $queue, "::options().tag(\"v1\").create(&name)?;")]
        #[doc = concat!("let error = ", $module, "::", $queue, "::options().tag(\"v2\").open(&name).unwrap_err();")]
        /// assert_eq!(error.kind(), ErrorKind::Incompatible);
        /// # Ok::<(), ringlane::Error>(())
        /// ```
        pub fn open(&self, name: &$crate::shm::Name) -> $crate::error::Result<$Queue> {
            let opened = $crate::layout::Segment::open(&self.spec(), &self.how, name);
            let opened = opened.map(<$Queue>::of);
            opened.map_err(|e| e.on(format_args!(concat!("open ", $ring, " {:?}"), name.as_str())))
        }

        #[doc = concat!("Makes a new ", $noun, " in memory that is there already: without a name, to be sent to another")]
        /// process by its descriptor, or made by another library. It may be larger than this takes, and what it
        /// holds is lost.
        ///
        /// # Errors
        /// [`ErrorKind::AlreadyExists`](crate::ErrorKind::AlreadyExists) if there is a ring or a cell in it,
        /// [`ErrorKind::InUse`](crate::ErrorKind::InUse) if somebody even uses it,
        /// [`ErrorKind::InvalidSize`](crate::ErrorKind::InvalidSize) if the memory is too small,
        /// [`ErrorKind::PermissionDenied`](crate::ErrorKind::PermissionDenied) if it was not opened for reading
        /// and writing, [`ErrorKind::NoSpace`](crate::ErrorKind::NoSpace) if it has a size, but no memory.
        ///
        /// ```
        #[doc = concat!("use ringlane::{SharedMemory, ", $module, "};")]
        /// use std::os::fd::AsFd;
        /// let memory = SharedMemory::anonymous(2 << 20)?;
        /// let descriptor = memory.as_fd().try_clone_to_owned().expect("a descriptor is free");
        #[doc = concat!("let ", $noun, " = ", $module, "::", $queue, "::options().host(memory)?;")]
        /// // Here, or in the process that the descriptor was sent to:
        #[doc = concat!("let other = ", $module, "::", $queue, "::options().attach(descriptor.try_into()?)?;")]
        #[doc = $sent]
        #[doc = $received]
        /// # Ok::<(), ringlane::Error>(())
        /// ```
        #[cfg(not(loom))]
        pub fn host(&self, memory: $crate::shm::SharedMemory) -> $crate::error::Result<$Queue> {
            let spec = self.new_spec()$(.map_err(|e| e.on($refused)))?;
            let hosted = $crate::layout::Segment::host(&spec?, &self.how, memory);
            hosted.map(<$Queue>::of).map_err(|e| e.on(concat!("host a ", $ring)))
        }

        #[doc = concat!("Opens the ", $noun, " that lies in this memory.", $opened)]
        ///
        /// # Errors
        /// As [`open`](Self::open), and [`ErrorKind::PermissionDenied`](crate::ErrorKind::PermissionDenied) if
        /// the memory was not opened for reading and writing.
        ///
        /// ```
        #[doc = concat!("use ringlane::{Name, SharedMemory, ", $module, "};")]
        #[doc = concat!("let name = Name::new(\"ringlane-doc-", $module, "-attach\")?;")]
        #[doc = concat!("let ", $noun, " = ", $module, "::", $queue, "::options().create(&name)?;")]
        #[doc = concat!("let same = ", $module, "::", $queue, "::options().attach(SharedMemory::open(&name)?)?;")]
        /// # Ok::<(), ringlane::Error>(())
        /// ```
        pub fn attach(&self, memory: $crate::shm::SharedMemory) -> $crate::error::Result<$Queue> {
            let attached = $crate::layout::Segment::attach(&self.spec(), &self.how, memory);
            attached.map(<$Queue>::of).map_err(|e| e.on(concat!("attach to a ", $ring)))
        }
    };
}
pub(super) use options;

/// `Debug` and the methods without a receiver of a queue of values of these types, which has a `segment`.
/// `capacity` says what can be chosen of its size, if anything.
macro_rules! queue {
    (
        $Queue:ident<$($T:ident),*>,
        module: $module:literal,
        queue: $queue:literal,
        noun: $noun:literal,
        $(capacity: $capacity:literal,)?
    ) => {
        impl<$($T),*> std::fmt::Debug for $Queue<$($T),*> {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.debug_struct(concat!($module, "::", stringify!($Queue)))
                    .field("memory", self.segment.memory())
                    .finish_non_exhaustive()
            }
        }

        impl<$($T: $crate::plain::Plain),*> $Queue<$($T),*> {
            #[doc = concat!("Options for such a ", $noun, ".")]
            ///
            /// ```
            #[doc = concat!("let options = ringlane::", $module, "::", $queue, "::options();")]
            /// ```
            pub fn options() -> Options<$($T),*> {
                Options::new()
            }

            #[doc = concat!("Opens the ", $noun, " of this name.")]
            ///
            /// # Errors
            /// As [`Options::open`].
            ///
            /// ```
            #[doc = concat!("use ringlane::{Name, ", $module, "};")]
            #[doc = concat!("let name = Name::new(\"ringlane-doc-", $module, "-open\")?;")]
            #[doc = concat!("let ", $noun, " = ", $module, "::", $queue, "::options().create(&name)?;")]
            #[doc = concat!("let same = ", $module, "::", $queue, "::open(&name)?;")]
            /// # Ok::<(), ringlane::Error>(())
            /// ```
            pub fn open(name: &$crate::shm::Name) -> $crate::error::Result<Self> {
                Self::options().open(name)
            }

            #[doc = concat!("The memory of the ", $noun, ": to be handed to another process, which attaches to it")]
            /// ([`Options::attach`]).
            ///
            /// ```
            #[doc = concat!("let ", $noun, " = ringlane::", $module, "::", $queue, "::options().private()?;")]
            #[doc = concat!("assert!(", $noun, ".memory().is_size_sealed()?);")]
            /// # Ok::<(), ringlane::Error>(())
            /// ```
            pub fn memory(&self) -> &$crate::shm::SharedMemory {
                self.segment.memory()
            }

            $(
            #[doc = concat!("Makes a new ", $noun, " ", $capacity, ".")]
            ///
            /// # Errors
            /// As [`Options::create`].
            ///
            /// ```
            #[doc = concat!("let name = ringlane::Name::new(\"ringlane-doc-", $module, "-create\")?;")]
            #[doc = concat!("let ", $noun, " = ringlane::", $module, "::", $queue, "::create(&name, 4096)?;")]
            /// # Ok::<(), ringlane::Error>(())
            /// ```
            pub fn create(
                name: &$crate::shm::Name,
                capacity: usize,
            ) -> $crate::error::Result<Self> {
                Self::options().capacity(capacity).create(name)
            }

            #[doc = concat!("Makes a new ", $noun, " ", $capacity, ", for the threads of one process.")]
            ///
            /// # Errors
            /// As [`Options::private`].
            ///
            /// ```
            #[doc = concat!("let ", $noun, " = ringlane::", $module, "::", $queue, "::private(4096)?;")]
            /// # Ok::<(), ringlane::Error>(())
            /// ```
            pub fn private(capacity: usize) -> $crate::error::Result<Self> {
                Self::options().capacity(capacity).private()
            }
            )?
        }
    };
}
pub(super) use queue;

/// Methods of an end of a queue for two, inside its `impl`. Its `End` is in this `field`; `own` and `peer` are
/// the two ends, and the methods that give them.
macro_rules! end {
    (
        field: $($field:ident).+,
        queue: $queue:literal,
        own: $own:literal,
        peer: $peer:literal,
        peers_end: $peers_end:literal,
    ) => {
        #[doc = concat!("What the ", $peer, " is now.")]
        ///
        /// ```
        #[doc = concat!("let queue = ringlane::", $queue, "?;")]
        #[doc = concat!("assert_eq!(queue.", $own, "()?.peer(), ringlane::Peer::Vacant);")]
        /// # Ok::<(), ringlane::Error>(())
        /// ```
        pub fn peer(&self) -> $crate::layout::Peer {
            self.$($field).+.peer()
        }

        #[doc = concat!("Waits until a living process holds the ", $peers_end, " end; false if the time ran out before.")]
        ///
        /// ```
        /// use std::time::Duration;
        #[doc = concat!("let queue = ringlane::", $queue, "?;")]
        #[doc = concat!("let mut ", $own, " = queue.", $own, "()?;")]
        #[doc = concat!("assert!(!", $own, ".wait_peer(Some(Duration::ZERO)));")]
        #[doc = concat!("let ", $peer, " = queue.", $peer, "()?;")]
        #[doc = concat!("assert!(", $own, ".wait_peer(Some(Duration::ZERO)));")]
        /// # Ok::<(), ringlane::Error>(())
        /// ```
        pub fn wait_peer(&mut self, timeout: Option<std::time::Duration>) -> bool {
            $crate::queue::end::wait_peer(self, |own| &mut own.$($field).+, timeout)
        }

        /// Chooses how this end waits.
        ///
        /// ```
        #[doc = concat!("let queue = ringlane::", $queue, "?;")]
        #[doc = concat!("queue.", $own, "()?.set_wait(ringlane::Wait::Park);")]
        /// # Ok::<(), ringlane::Error>(())
        /// ```
        pub fn set_wait(&mut self, wait: $crate::wait::Wait) {
            self.$($field).+.set_wait(wait);
        }

        /// Closes the end. The same as dropping it.
        ///
        /// ```
        #[doc = concat!("let queue = ringlane::", $queue, "?;")]
        #[doc = concat!("queue.", $own, "()?.close();")]
        /// # Ok::<(), ringlane::Error>(())
        /// ```
        pub fn close(self) {}
    };
}
pub(super) use end;
