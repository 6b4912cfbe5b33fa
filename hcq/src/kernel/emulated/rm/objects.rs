//! The object tree of the resource manager: clients, handles, parents, and what freeing takes along.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use nvkernel_sys::class::{NV01_ROOT_CLIENT, NV20_SUBDEVICE_0};
use nvkernel_sys::status::RmStatus;

use crate::kernel::emulated::gpu::Gpu;
use crate::kernel::emulated::gpu::channel::{Channel, Group};
use crate::kernel::emulated::memory::address_space::AddressSpace;
use crate::kernel::emulated::memory::physical::{Location, Memory};

/// A result with a status of the resource manager.
pub(crate) type RmResult<T> = Result<T, RmStatus>;

/// Handles that RM invents for clients and for their objects.
const FIRST_CLIENT: u32 = 0xc1d0_0001;
const FIRST_HANDLE: u32 = 0xcaf0_8000;

/// A CPU mapping of a memory object.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CpuMapping {
    /// What RM_MAP_MEMORY returned; RM_UNMAP_MEMORY finds the mapping by it.
    pub(crate) linear: u64,
    /// Bytes of BAR1 that it takes.
    pub(crate) bar1: u64,
}

/// What an object is.
#[derive(Debug)]
pub(crate) enum Kind {
    Device {
        gpu: Arc<Gpu>,
        default_space: OnceLock<Arc<AddressSpace>>,
    },
    Subdevice,
    VaSpace(Arc<AddressSpace>),
    /// A window of an address space, with its first and last address.
    Window {
        space: Arc<AddressSpace>,
        base: u64,
        last: u64,
    },
    Memory {
        memory: Arc<Memory>,
        mappings: Vec<CpuMapping>,
    },
    ContextDma {
        memory: Arc<Memory>,
        offset: u64,
    },
    Group(Arc<Group>),
    ContextShare {
        space: Arc<AddressSpace>,
    },
    Channel(Arc<Channel>),
    EngineObject(Arc<Channel>),
    Usermode,
    Event(Arc<Gpu>),
}

#[derive(Debug)]
pub(crate) struct Object {
    pub(crate) class: u32,
    pub(crate) parent: u32,
    children: Vec<u32>,
    pub(crate) kind: Kind,
}

/// A root client and its objects.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) handle: u32,
    /// Control descriptor that allocated it.
    pub(crate) owner: u64,
    objects: HashMap<u32, Object>,
    roots: Vec<u32>,
    next: u32,
}

/// Everything that handles refer to.
#[derive(Debug, Default)]
pub(crate) struct Objects {
    clients: HashMap<u32, Client>,
    invented: u32,
}

impl Objects {
    /// A client of `session`.
    pub(crate) fn client(&mut self, handle: u32, session: u64) -> RmResult<&mut Client> {
        match self.clients.get_mut(&handle) {
            Some(client) if client.owner == session => Ok(client),
            _ => Err(RmStatus::NV_ERR_INVALID_CLIENT),
        }
    }

    /// Whether there is such a client.
    pub(crate) fn has_client(&self, handle: u32) -> bool {
        self.clients.contains_key(&handle)
    }

    /// A client of any session. Duplicating reads another client's objects; the process is the same.
    pub(crate) fn any_client(&self, handle: u32) -> RmResult<&Client> {
        self.clients.get(&handle).ok_or(RmStatus::NV_ERR_INVALID_CLIENT)
    }

    pub(crate) fn add_client(&mut self, handle: u32, owner: u64) -> RmResult<u32> {
        let handle = if handle == 0 {
            self.invented += 1;
            FIRST_CLIENT - 1 + self.invented
        } else {
            handle
        };
        if self.clients.contains_key(&handle) {
            return Err(RmStatus::NV_ERR_INSERT_DUPLICATE_NAME);
        }
        let client = Client { handle, owner, objects: HashMap::new(), roots: Vec::new(), next: FIRST_HANDLE };
        self.clients.insert(handle, client);
        Ok(handle)
    }

    pub(crate) fn free_client(&mut self, handle: u32) {
        if let Some(mut client) = self.clients.remove(&handle) {
            for root in std::mem::take(&mut client.roots).into_iter().rev() {
                client.free_tree(root);
            }
        }
    }

    /// Frees the clients of a descriptor that was closed.
    pub(crate) fn free_session(&mut self, owner: u64) {
        let gone: Vec<u32> = self.clients.values().filter(|c| c.owner == owner).map(|c| c.handle).collect();
        for client in gone {
            self.free_client(client);
        }
    }

    pub(crate) fn clear(&mut self) {
        let all: Vec<u32> = self.clients.keys().copied().collect();
        for client in all {
            self.free_client(client);
        }
    }

    pub(crate) fn client_count(&self) -> usize {
        self.clients.len()
    }

    pub(crate) fn object_count(&self) -> usize {
        self.clients.values().map(|c| c.objects.len()).sum()
    }

    /// Mappings in all address spaces of all clients.
    pub(crate) fn mapping_count(&self) -> usize {
        let spaces = self.clients.values().flat_map(Client::spaces);
        spaces.map(|space| space.mapping_count()).sum()
    }
}

impl Client {
    pub(crate) fn get(&self, handle: u32) -> RmResult<&Object> {
        self.objects.get(&handle).ok_or(RmStatus::NV_ERR_OBJECT_NOT_FOUND)
    }

    pub(crate) fn get_mut(&mut self, handle: u32) -> RmResult<&mut Object> {
        self.objects.get_mut(&handle).ok_or(RmStatus::NV_ERR_OBJECT_NOT_FOUND)
    }

    /// Whether `handle` names the client itself or an object of it.
    pub(crate) fn has(&self, handle: u32) -> bool {
        handle == self.handle || self.objects.contains_key(&handle)
    }

    /// The object that a parent handle names.
    pub(crate) fn parent(&self, handle: u32) -> RmResult<&Object> {
        self.objects.get(&handle).ok_or(RmStatus::NV_ERR_INVALID_OBJECT_PARENT)
    }

    /// The handle for a new object: the one asked for, if it is free, or an invented one for 0.
    pub(crate) fn new_handle(&mut self, asked: u32) -> RmResult<u32> {
        if asked == 0 {
            while self.has(self.next) {
                self.next = self.next.wrapping_add(1);
            }
            return Ok(self.next);
        }
        if self.has(asked) { Err(RmStatus::NV_ERR_INSERT_DUPLICATE_NAME) } else { Ok(asked) }
    }

    /// Adds an object under `parent`, which exists (or is the client itself).
    pub(crate) fn add(&mut self, handle: u32, parent: u32, class: u32, kind: Kind) {
        match self.objects.get_mut(&parent) {
            Some(parent) => parent.children.push(handle),
            None => self.roots.push(handle),
        }
        self.objects.insert(handle, Object { class, parent, children: Vec::new(), kind });
    }

    /// The GPU that an object belongs to; `None` for the client.
    pub(crate) fn gpu_of(&self, handle: u32) -> Option<&Arc<Gpu>> {
        self.device_of(handle).map(|(_, gpu)| gpu)
    }

    /// The device above an object, or the object itself: handle and GPU.
    pub(crate) fn device_of(&self, mut handle: u32) -> Option<(u32, &Arc<Gpu>)> {
        loop {
            let object = self.objects.get(&handle)?;
            if let Kind::Device { gpu, .. } = &object.kind {
                return Some((handle, gpu));
            }
            handle = object.parent;
        }
    }

    pub(crate) fn memory(&self, handle: u32) -> RmResult<&Arc<Memory>> {
        match &self.get(handle)?.kind {
            Kind::Memory { memory, .. } => Ok(memory),
            _ => Err(RmStatus::NV_ERR_INVALID_OBJECT_HANDLE),
        }
    }

    /// The address space behind a handle in some parameter; 0 is the device's own.
    pub(crate) fn space(&self, handle: u32, device: u32) -> RmResult<Arc<AddressSpace>> {
        if handle != 0 {
            return match self.get(handle).map(|o| &o.kind) {
                Ok(Kind::VaSpace(space)) => Ok(space.clone()),
                _ => Err(RmStatus::NV_ERR_INVALID_OBJECT_HANDLE),
            };
        }
        match &self.get(device)?.kind {
            Kind::Device { gpu, default_space } => {
                let make = || AddressSpace::new(1 << gpu.model.address_bits);
                Ok(default_space.get_or_init(make).clone())
            }
            _ => Err(RmStatus::NV_ERR_INVALID_DEVICE),
        }
    }

    fn spaces(&self) -> impl Iterator<Item = &Arc<AddressSpace>> {
        self.objects.values().filter_map(|o| match &o.kind {
            Kind::VaSpace(space) => Some(space),
            Kind::Device { default_space, .. } => default_space.get(),
            _ => None,
        })
    }

    /// Frees an object and everything below it.
    pub(crate) fn free(&mut self, handle: u32) -> RmResult<()> {
        let parent = self.get(handle)?.parent;
        match self.objects.get_mut(&parent) {
            Some(parent) => parent.children.retain(|&h| h != handle),
            None => self.roots.retain(|&h| h != handle),
        }
        self.free_tree(handle);
        Ok(())
    }

    fn free_tree(&mut self, handle: u32) {
        let Some(object) = self.objects.get_mut(&handle) else { return };
        if let Kind::Channel(channel) = &object.kind {
            // Before what hangs on it goes, so that it does not go on without its objects.
            channel.cancel();
        }
        for child in std::mem::take(&mut object.children).into_iter().rev() {
            self.free_tree(child);
        }
        let gpu = self.gpu_of(handle).cloned();
        let Some(object) = self.objects.remove(&handle) else { return };
        match &object.kind {
            Kind::Memory { memory, mappings } => {
                let client = self.handle;
                for space in self.spaces() {
                    space.unmap_where(|o| o.client == client && o.memory == handle);
                }
                if let (Some(gpu), Location::Vidmem) = (&gpu, memory.location()) {
                    gpu.release_bar1(mappings.iter().map(|m| m.bar1).sum());
                }
            }
            Kind::Window { space, .. } => {
                let client = self.handle;
                space.unmap_where(|o| o.client == client && o.window == handle);
            }
            Kind::VaSpace(space) => space.unmap_where(|_| true),
            Kind::Channel(channel) => {
                if let Some(gpu) = &gpu {
                    gpu.remove_channel(channel);
                }
            }
            Kind::EngineObject(channel) => channel.remove_object(handle),
            Kind::Event(gpu) => gpu.signals.events.remove(self.handle, handle),
            Kind::Subdevice => {
                debug_assert_eq!(object.class, NV20_SUBDEVICE_0);
                if let Some(gpu) = &gpu {
                    gpu.signals.events.forget_source(self.handle, handle);
                }
            }
            _ => {}
        }
    }
}

/// Whether RM_ALLOC of `class` makes a client: every root class is taken for the client class.
pub(crate) fn is_root_class(class: u32) -> bool {
    matches!(class, 0 | 1 | NV01_ROOT_CLIENT)
}
