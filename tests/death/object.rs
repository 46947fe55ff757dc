//! Named memory: its creator, or whoever opens, maps, resizes or removes it, dies within that.

use super::journal::Journal;
use super::matrix::{FEW, Matrix, SOME};
use super::stream::text;
use super::sweep::{Cell, Effect, Fate, ensure};
use super::tracer::{Victim, mark};
use crate::common::{leftovers, scratch};
use ringlane::{ErrorKind, Lifetime, Mapping, Name, OpenOptions, SharedMemory};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Deed {
    Create,
    /// Opened or created, whichever it takes.
    OpenOrCreate,
    Open,
    Map,
    Unmap,
    Grow,
    Shrink,
    Truncate,
    Seal,
    Remove,
    Unlink,
    /// The creator's handle is dropped, and the name with it.
    Drop,
}

const SIZE: u64 = 3 * 4096;
const LARGER: u64 = 5 * 4096;
const SMALLER: u64 = 4096;

struct Object<'a> {
    journal: &'a Journal,
    deed: Deed,
}

/// The name, and what this process has of it.
struct World {
    name: Name,
    memory: Option<SharedMemory>,
    map: Option<Mapping>,
}

fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).allow_shrink(true).lifetime(Lifetime::Persistent);
    // Whether there is room is asked in 270,000 instructions, among which a death changes nothing. Rings ask.
    options.reserve(false);
    options
}

impl Object<'_> {
    fn is_new(&self) -> bool {
        matches!(self.deed, Deed::Create | Deed::OpenOrCreate | Deed::Drop)
    }

    /// How large it may be.
    fn sizes(&self) -> &'static [u64] {
        match self.deed {
            Deed::Grow => &[SIZE, LARGER],
            Deed::Shrink => &[SIZE, SMALLER],
            Deed::Truncate => &[SIZE, 0, SMALLER],
            _ => &[SIZE],
        }
    }

    /// Whoever comes now finds the object as it was, or as it was to be, or none. Its size.
    fn found(&self, name: &Name) -> Result<Option<u64>, String> {
        let memory = match options().open(name) {
            Ok(memory) => memory,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(format!("open: {error}")),
        };
        let size = memory.size().map_err(text("size"))?;
        ensure!(self.sizes().contains(&size), "{size} bytes");
        if size > 0 {
            let map = memory.map().map_err(text("map"))?;
            let mut byte = [0];
            map.read_at(0, &mut byte).map_err(text("read"))?;
            let kept = self.is_new() || self.deed == Deed::Truncate || byte == [7];
            ensure!(kept, "what was written is gone");
            // All of it is there: a page that is missing would end this process.
            map.write_at(size as usize - 1, &[1]).map_err(text("write"))?;
        }
        // It can be resized as ever: nobody dead holds a lock on it.
        memory.set_size(2 * 4096).map_err(text("resize"))?;
        Ok(Some(size))
    }
}

impl Cell for Object<'_> {
    type World = World;

    fn world(&self) -> Result<World, String> {
        let name = scratch();
        if self.is_new() {
            return Ok(World { name, memory: None, map: None });
        }
        let memory = options().create_new(true).size(SIZE).open(&name).map_err(text("create"))?;
        let map = memory.map().map_err(text("map"))?;
        map.write_at(0, &[7]).map_err(text("write"))?;
        let resized = matches!(self.deed, Deed::Grow | Deed::Shrink | Deed::Truncate);
        Ok(World { name, memory: Some(memory), map: (!resized).then_some(map) })
    }

    fn victim(&self, World { name, .. }: &World) {
        match self.deed {
            Deed::Create => {
                mark();
                let made = options().create_new(true).size(SIZE).open(name);
                mark();
                assert!(made.is_ok());
            }
            Deed::OpenOrCreate => {
                mark();
                let made = options().create(true).size(SIZE).open(name);
                mark();
                assert!(made.is_ok());
            }
            Deed::Truncate => {
                mark();
                let made = options().truncate(true).size(SMALLER).open(name);
                mark();
                assert!(made.is_ok());
            }
            Deed::Open => {
                mark();
                let memory = options().open(name);
                mark();
                assert!(memory.is_ok());
            }
            Deed::Unlink => {
                mark();
                let removed = SharedMemory::unlink(name);
                mark();
                assert!(removed.is_ok());
            }
            Deed::Drop => {
                let memory = SharedMemory::create(name, SIZE).expect("create");
                mark();
                drop(memory);
                mark();
            }
            Deed::Map | Deed::Unmap => {
                let memory = options().open(name).expect("open");
                if self.deed == Deed::Map {
                    mark();
                }
                let map = memory.map();
                mark();
                if self.deed == Deed::Unmap {
                    drop(map);
                    mark();
                } else {
                    assert!(map.is_ok());
                }
            }
            Deed::Grow | Deed::Shrink | Deed::Seal | Deed::Remove => {
                let memory = options().open(name).expect("open");
                mark();
                let done = match self.deed {
                    Deed::Grow => memory.set_size(LARGER),
                    Deed::Shrink => memory.set_size(SMALLER),
                    Deed::Remove => memory.remove(),
                    // Named memory cannot be sealed, and says so.
                    _ => memory
                        .seal_size()
                        .map_or_else(|_| Ok(()), |()| Err(memory.remove().unwrap_err())),
                };
                mark();
                assert!(done.is_ok(), "{done:?}");
            }
        }
        self.journal.note(true);
    }

    fn judge(&self, world: World) -> Result<bool, String> {
        let World { name, memory, map } = world;
        if let Some(map) = map {
            // Whoever had it mapped has it still.
            let mut byte = [0];
            map.read_at(0, &mut byte).map_err(text("read"))?;
            map.write_at(SIZE as usize - 1, &[1]).map_err(text("write"))?;
            ensure!(byte == [7], "what was written is gone");
        }
        let names = leftovers();
        let there = names.iter().any(|other| other == name.as_str());
        ensure!(names.len() == usize::from(there), "left behind: {names:?}");
        let size = self.found(&name)?;
        ensure!(size.is_some() == there, "found: {size:?}, there: {there}");
        drop(memory);
        if there {
            SharedMemory::unlink(&name).map_err(text("unlink"))?;
        }
        // The name is free, and whole again.
        drop(SharedMemory::create(&name, SIZE).map_err(text("create"))?);
        Ok(match self.deed {
            Deed::Create | Deed::OpenOrCreate => there,
            Deed::Remove | Deed::Unlink | Deed::Drop => !there,
            _ => size != Some(SIZE),
        })
    }

    fn effect(&self) -> Effect {
        match self.deed {
            Deed::Open | Deed::Map | Deed::Unmap | Deed::Seal => Effect::Never,
            // Its name is gone before it has one.
            Deed::Drop => Effect::Any,
            _ => Effect::Sometime,
        }
    }

    /// Who is stopped halfway has done it, or has not, and does it when it goes on.
    fn outlive(
        &self,
        victim: &mut Victim,
        World { name, memory, map }: World,
    ) -> Result<(), String> {
        let seen = options().open(&name).and_then(|memory| memory.size());
        let known = match &seen {
            Ok(size) => self.sizes().contains(size),
            Err(error) => matches!(error.kind(), ErrorKind::NotFound | ErrorKind::InUse),
        };
        ensure!(known, "while it was stopped: {seen:?}");
        drop((memory, map));
        victim.resume()?;
        self.journal.wait_noted();
        let there = leftovers().iter().any(|other| other == name.as_str());
        let gone = matches!(self.deed, Deed::Remove | Deed::Unlink | Deed::Drop);
        ensure!(there != gone, "there: {there}");
        if there {
            SharedMemory::unlink(&name).map_err(text("unlink"))?;
        }
        Ok(())
    }
}

/// All deeds, killed and stopped.
pub(crate) fn objects(matrix: &mut Matrix) {
    let journal = matrix.journal.clone();
    for deed in [
        Deed::Create,
        Deed::OpenOrCreate,
        Deed::Open,
        Deed::Map,
        Deed::Unmap,
        Deed::Grow,
        Deed::Shrink,
        Deed::Truncate,
        Deed::Seal,
        Deed::Remove,
        Deed::Unlink,
        Deed::Drop,
    ] {
        let cell = Object { journal: &journal, deed };
        let name = format!("shm_{deed:?}").to_lowercase();
        matrix.run(&name, Fate::Kill, matrix.plan(FEW, None), &cell);
        matrix.run(&format!("{name}_pause"), Fate::Pause, matrix.plan(SOME, None), &cell);
    }
}
