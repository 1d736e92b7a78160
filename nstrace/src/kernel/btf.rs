//! A reader of the kernel's BTF (Documentation/bpf/btf.rst): which functions and structures this kernel has, and where their
//! members lie.
//!
//! aya's own BTF type hides member offsets, so this is our own: bounds-checked, total on any input.

use std::{
    collections::{HashMap, HashSet},
    fs::File,
    hash::BuildHasher as _,
    io,
    ops::Deref,
    sync::OnceLock,
};

/// `BTF_MAGIC`, little-endian.
const MAGIC: u16 = 0xeb9f;
/// `struct btf_header` up to `str_len`.
const HEADER_LEN: usize = 24;
/// Longest chain of typedefs and anonymous members that is followed.
const MAX_DEPTH: usize = 16;

/// Why a BTF blob cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BtfError {
    #[error("{path}: {error}: the kernel needs CONFIG_DEBUG_INFO_BTF")]
    Missing { path: String, error: io::Error },
    #[error("not BTF: bad magic number")]
    Magic,
    #[error("BTF is cut short or damaged at byte {0}")]
    Truncated(usize),
    #[error("BTF has a type of unknown kind {kind} (number {id})")]
    Kind { kind: u32, id: u32 },
}

/// `BTF_KIND_*` as far as they are told apart here.
mod kind {
    pub const INT: u32 = 1;
    pub const PTR: u32 = 2;
    pub const ARRAY: u32 = 3;
    pub const STRUCT: u32 = 4;
    pub const UNION: u32 = 5;
    pub const ENUM: u32 = 6;
    pub const FWD: u32 = 7;
    pub const TYPEDEF: u32 = 8;
    pub const VOLATILE: u32 = 9;
    pub const CONST: u32 = 10;
    pub const RESTRICT: u32 = 11;
    pub const FUNC: u32 = 12;
    pub const FUNC_PROTO: u32 = 13;
    pub const VAR: u32 = 14;
    pub const DATASEC: u32 = 15;
    pub const FLOAT: u32 = 16;
    pub const DECL_TAG: u32 = 17;
    pub const TYPE_TAG: u32 = 18;
    pub const ENUM64: u32 = 19;
}

/// Hash of a name → type number: a kernel has some eighty thousand names, and copies of them would take most of the time.
type Names = HashMap<u64, u32, foldhash::fast::FixedState>;

/// Parsed BTF of a kernel. Indices are made when they are first asked for.
#[derive(Debug)]
pub struct Btf {
    data: Blob,
    strings: usize,
    /// Length of the string section; a module's names count on from there.
    strings_len: u32,
    /// Byte position of each type, by type number; number 0 is void.
    types: Vec<u32>,
    /// Type numbers of named structures, functions and typedefs, in their order.
    struct_ids: Vec<u32>,
    function_ids: Vec<u32>,
    typedef_ids: Vec<u32>,
    structs: OnceLock<Names>,
    functions: OnceLock<Names>,
    hasher: foldhash::fast::FixedState,
    /// Names after `btf_trace_`.
    tracepoints: OnceLock<HashSet<Vec<u8>>>,
}

/// The bytes: the kernel's own where it lets them be mapped (6.16+; reading takes some two thousand calls, a page each).
enum Blob {
    Mapped { at: *const u8, len: usize },
    Read(Vec<u8>),
}

// SAFETY: what is mapped is read-only, never changes, and is this value's alone.
unsafe impl Send for Blob {}
// SAFETY: as above.
unsafe impl Sync for Blob {}

impl Blob {
    fn map(file: &File) -> io::Result<Self> {
        let len = usize::try_from(file.metadata()?.len()).map_err(io::Error::other)?;
        let (read, private) = (rustix::mm::ProtFlags::READ, rustix::mm::MapFlags::PRIVATE);
        // SAFETY: a new mapping at a place of the kernel's choice; the file's content is constant.
        let at = unsafe { rustix::mm::mmap(std::ptr::null_mut(), len, read, private, file, 0) }?;
        Ok(Self::Mapped { at: at.cast(), len })
    }
}

impl Deref for Blob {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            // SAFETY: the mapping has this length and lives as long as the value.
            Self::Mapped { at, len } => unsafe { std::slice::from_raw_parts(*at, *len) },
            Self::Read(bytes) => bytes,
        }
    }
}

impl Drop for Blob {
    fn drop(&mut self) {
        if let Self::Mapped { at, len } = *self {
            // SAFETY: made by `map`, and nothing refers to it any more.
            let _ = unsafe { rustix::mm::munmap(at.cast_mut().cast(), len) };
        }
    }
}

impl std::fmt::Debug for Blob {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} bytes", self.len())
    }
}

#[derive(Clone, Copy)]
struct TypeHead {
    name: u32,
    kind: u32,
    vlen: u32,
    kind_flag: bool,
    /// Size or type, by kind.
    size_or_type: u32,
    /// Position of what follows the 12 bytes of `struct btf_type`.
    body: usize,
}

impl Btf {
    /// Reads the running kernel's BTF.
    pub fn of_running_kernel() -> Result<Self, BtfError> {
        let path = "/sys/kernel/btf/vmlinux";
        let missing = |error| BtfError::Missing { path: path.to_owned(), error };
        let file = File::open(path).map_err(missing)?;
        match Blob::map(&file) {
            Ok(blob) => Self::index(blob),
            Err(_) => Self::parse(std::fs::read(path).map_err(missing)?),
        }
    }

    /// Indexes a BTF blob.
    pub fn parse(data: Vec<u8>) -> Result<Self, BtfError> {
        Self::index(Blob::Read(data))
    }

    fn index(data: Blob) -> Result<Self, BtfError> {
        if data.len() < HEADER_LEN {
            return Err(BtfError::Truncated(data.len()));
        }
        if u16::from_le_bytes([data[0], data[1]]) != MAGIC {
            return Err(BtfError::Magic);
        }
        let header_len = read_u32(&data, 4)? as usize;
        let type_start = add(header_len, read_u32(&data, 8)? as usize)?;
        let type_end = add(type_start, read_u32(&data, 12)? as usize)?;
        let strings = add(header_len, read_u32(&data, 16)? as usize)?;
        let strings_end = add(strings, read_u32(&data, 20)? as usize)?;
        if type_end > data.len() || strings_end > data.len() {
            return Err(BtfError::Truncated(data.len()));
        }
        // A type and its members take some thirty bytes.
        let mut types = Vec::with_capacity((type_end - type_start) / 24);
        types.push(u32::MAX);
        let strings_len = read_u32(&data, 20)?;
        let mut btf = Self {
            data,
            strings,
            strings_len,
            types,
            struct_ids: Vec::new(),
            function_ids: Vec::new(),
            typedef_ids: Vec::new(),
            structs: OnceLock::new(),
            functions: OnceLock::new(),
            hasher: foldhash::fast::FixedState::default(),
            tracepoints: OnceLock::new(),
        };
        let mut at = type_start;
        while at < type_end {
            let id = u32::try_from(btf.types.len()).map_err(|_| BtfError::Truncated(at))?;
            let head = btf.head_at(at)?;
            btf.types.push(u32::try_from(at).map_err(|_| BtfError::Truncated(at))?);
            match head.kind {
                kind::STRUCT | kind::UNION if head.name != 0 => btf.struct_ids.push(id),
                kind::FUNC => btf.function_ids.push(id),
                kind::TYPEDEF => btf.typedef_ids.push(id),
                _ => {}
            }
            at = add(head.body, body_len(head, id)?)?;
        }
        Ok(btf)
    }

    fn structs(&self) -> &Names {
        self.structs.get_or_init(|| self.names(&self.struct_ids))
    }

    fn functions(&self) -> &Names {
        self.functions.get_or_init(|| self.names(&self.function_ids))
    }

    /// The first type of each name.
    fn names(&self, ids: &[u32]) -> Names {
        let mut names = Names::with_capacity_and_hasher(ids.len(), self.hasher.clone());
        for &id in ids {
            if let Some(head) = self.head(id) {
                names.entry(self.hash(self.name(head.name))).or_insert(id);
            }
        }
        names
    }

    /// Type numbers of these functions; faster than an index of all functions when few are asked for.
    pub fn functions_named<const N: usize>(&self, wanted: &[String; N]) -> [Option<u32>; N] {
        let mut found = [None; N];
        for &id in &self.function_ids {
            let Some(head) = self.head(id) else { continue };
            let name = self.data.get(self.strings + head.name as usize..).unwrap_or_default();
            for (found, wanted) in found.iter_mut().zip(wanted) {
                if found.is_none() && name.starts_with(wanted.as_bytes()) && name.get(wanted.len()) == Some(&0) {
                    *found = Some(id);
                }
            }
        }
        found
    }

    /// The kernel has a traceable function of this name (`BTF_KIND_FUNC`). It may still be inlined at places or `notrace`.
    pub fn has_function(&self, name: &str) -> bool {
        self.named(self.functions(), name).is_some()
    }

    /// Number of parameters of a function; None when there is no such function.
    pub fn parameters(&self, function: &str) -> Option<u32> {
        let id = self.named(self.functions(), function)?;
        let proto = self.head(self.head(id)?.size_or_type)?;
        (proto.kind == kind::FUNC_PROTO).then_some(proto.vlen)
    }

    /// The kernel has a BTF tracepoint of this name: the verifier looks for a typedef `btf_trace_NAME`.
    pub fn has_tracepoint(&self, name: &str) -> bool {
        let tracepoints = self.tracepoints.get_or_init(|| {
            let names = self.typedef_ids.iter().filter_map(|&id| Some(self.name(self.head(id)?.name)));
            names.filter_map(|name| Some(name.strip_prefix(b"btf_trace_")?.to_vec())).collect()
        });
        tracepoints.contains(name.as_bytes())
    }

    /// Size of a structure in bytes.
    pub fn size_of(&self, structure: &str) -> Option<u32> {
        Some(self.head(self.named(self.structs(), structure)?)?.size_or_type)
    }

    /// Byte offset of a member, given as a path such as `ns.inum`; anonymous structs and unions are looked into.
    /// None when the kernel has no such structure or member, or the member is a bit field.
    pub fn offset_of(&self, structure: &str, path: &str) -> Option<u32> {
        let mut id = self.named(self.structs(), structure)?;
        let mut bits = 0_u32;
        for name in path.split('.') {
            let (member, offset) = self.member(self.resolve(id)?, name.as_bytes(), 0)?;
            bits = bits.checked_add(offset)?;
            id = member;
        }
        bits.is_multiple_of(8).then_some(bits / 8)
    }

    /// Byte offset of a member of a structure that a module defines. `module` is the module's BTF, which counts its names and
    /// types on from those of the kernel's, `self`.
    pub fn offset_in_module(&self, module: &Self, structure: &str, member: &str) -> Option<u32> {
        let is = |name: u32, wanted: &str| {
            let own = name.checked_sub(self.strings_len);
            own.map_or_else(|| self.name(name), |own| module.name(own)) == wanted.as_bytes()
        };
        let heads = module.struct_ids.iter().filter_map(|&id| module.head(id));
        let head = heads.into_iter().find(|head| is(head.name, structure))?;
        for at in (0..head.vlen as usize).map(|i| head.body + i * 12) {
            if is(read_u32(&module.data, at).ok()?, member) {
                let offset = read_u32(&module.data, at + 8).ok()?;
                let bits = if head.kind_flag { offset & 0x00ff_ffff } else { offset };
                return bits.is_multiple_of(8).then_some(bits / 8);
            }
        }
        None
    }

    fn hash(&self, name: &[u8]) -> u64 {
        self.hasher.hash_one(name)
    }

    /// The type of this name. Two names of one hash, which hardly ever exist, are as good as none.
    fn named(&self, names: &Names, name: &str) -> Option<u32> {
        let id = *names.get(&self.hash(name.as_bytes()))?;
        (self.name(self.head(id)?.name) == name.as_bytes()).then_some(id)
    }

    /// Type and bit offset of a member, anonymous members included.
    fn member(&self, structure: u32, name: &[u8], depth: usize) -> Option<(u32, u32)> {
        if depth > MAX_DEPTH {
            return None;
        }
        let head = self.head(structure)?;
        if head.kind != kind::STRUCT && head.kind != kind::UNION {
            return None;
        }
        let member_at = |i: u32| {
            let at = head.body + i as usize * 12;
            let name = read_u32(&self.data, at).ok()?;
            let ty = read_u32(&self.data, at + 4).ok()?;
            let offset = read_u32(&self.data, at + 8).ok()?;
            Some((name, ty, if head.kind_flag { offset & 0x00ff_ffff } else { offset }))
        };
        for i in 0..head.vlen {
            let (member_name, ty, offset) = member_at(i)?;
            let found = self.name(member_name);
            if found == name {
                return Some((ty, offset));
            }
            if found.is_empty()
                && let Some((ty, inner)) = self.member(self.resolve(ty)?, name, depth + 1)
            {
                return Some((ty, offset.checked_add(inner)?));
            }
        }
        None
    }

    /// Follows typedefs and qualifiers.
    fn resolve(&self, mut id: u32) -> Option<u32> {
        for _ in 0..MAX_DEPTH {
            let head = self.head(id)?;
            match head.kind {
                kind::TYPEDEF | kind::VOLATILE | kind::CONST | kind::RESTRICT | kind::TYPE_TAG => {
                    id = head.size_or_type;
                }
                _ => return Some(id),
            }
        }
        None
    }

    fn head(&self, id: u32) -> Option<TypeHead> {
        if id == 0 {
            return None;
        }
        self.head_at(*self.types.get(id as usize)? as usize).ok()
    }

    fn head_at(&self, at: usize) -> Result<TypeHead, BtfError> {
        let info = read_u32(&self.data, at + 4)?;
        Ok(TypeHead {
            name: read_u32(&self.data, at)?,
            kind: info >> 24 & 0x1f,
            vlen: info & 0xffff,
            kind_flag: info >> 31 == 1,
            size_or_type: read_u32(&self.data, at + 8)?,
            body: at + 12,
        })
    }

    /// Name at an offset of the string section; empty when out of bounds.
    fn name(&self, offset: u32) -> &[u8] {
        let rest = self.strings.checked_add(offset as usize).and_then(|at| self.data.get(at..)).unwrap_or_default();
        &rest[..rest.iter().position(|&b| b == 0).unwrap_or(rest.len())]
    }
}

/// Bytes that follow `struct btf_type` for this kind.
fn body_len(head: TypeHead, id: u32) -> Result<usize, BtfError> {
    let vlen = head.vlen as usize;
    Ok(match head.kind {
        kind::INT | kind::VAR | kind::DECL_TAG => 4,
        kind::ARRAY => 12,
        kind::STRUCT | kind::UNION | kind::DATASEC | kind::ENUM64 => vlen * 12,
        kind::ENUM | kind::FUNC_PROTO => vlen * 8,
        kind::PTR
        | kind::FWD
        | kind::TYPEDEF
        | kind::VOLATILE
        | kind::CONST
        | kind::RESTRICT
        | kind::FUNC
        | kind::FLOAT
        | kind::TYPE_TAG => 0,
        kind => return Err(BtfError::Kind { kind, id }),
    })
}

fn read_u32(data: &[u8], at: usize) -> Result<u32, BtfError> {
    data.get(at..)
        .and_then(|rest| rest.first_chunk::<4>())
        .map(|bytes| u32::from_le_bytes(*bytes))
        .ok_or(BtfError::Truncated(at))
}

fn add(a: usize, b: usize) -> Result<usize, BtfError> {
    a.checked_add(b).ok_or(BtfError::Truncated(a))
}
