//! A watch of the toy.

use nstrace::{
    event::{Event, Stamp, Stamped},
    model::{Change, World},
};

use super::Toy;

impl Toy {
    /// A world for which the watch has just begun.
    pub fn watched(&mut self) -> World {
        let mut world = World::new(nstrace::container::from_cgroup_path);
        let stamp = Stamp { boot_ns: self.tick(), cpu: 0, seq: 0 };
        for event in self.start().into_iter().chain([Stamped { stamp, event: Event::SnapshotEnd }]) {
            world.apply(&event, &mut Vec::new());
        }
        world
    }

    /// What the world makes of what was done since.
    pub fn told(&mut self, world: &mut World) -> Vec<Change> {
        let mut changes = Vec::new();
        for event in self.records() {
            world.apply(&event, &mut changes);
        }
        changes
    }
}
