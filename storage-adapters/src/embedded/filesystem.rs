//! Which file systems hold a store: those of this machine, by their magic numbers; reads the number of a folder.
//!
//! The store needs links that are exclusive, folders that are read at once and writes that survive a crash, seen alike by
//! every process. A file system over a network or in user space promises less than it seems to, so it is refused by name.

use std::{io, path::Path};

/// A file system that holds no store.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnfitFileSystem {
    /// It keeps its files on another machine, or in another program.
    #[error(
        "{0} does not keep its files on this machine's own disk; use a folder on ext4, XFS, Btrfs, ZFS, F2FS or tmpfs"
    )]
    NotLocal(&'static str),
    /// Nobody has shown that it holds a store.
    #[error(
        "the file system of magic number {0:#x} is not known to hold a store; use a folder on ext4, XFS, Btrfs, ZFS, F2FS or tmpfs"
    )]
    Unknown(u64),
}

/// Numbers as in `linux/magic.h` and the file systems' own sources.
const LOCAL: [u64; 9] = [
    0xEF53,      // ext2, ext3, ext4
    0x5846_5342, // XFS
    0x9123_683E, // Btrfs
    0x2FC1_2FC1, // ZFS
    0xF2F5_2010, // F2FS
    0xCA45_1A4E, // bcachefs
    0x0102_1994, // tmpfs
    0x8584_58F6, // ramfs
    0x794C_7630, // overlayfs, whose upper layer is a local file system
];

const NOT_LOCAL: [(u64, &str); 18] = [
    (0x6969, "NFS"),
    (0xFF53_4D42, "CIFS"),
    (0xFE53_4D42, "SMB"),
    (0x517B, "SMB"),
    (0x6573_5546, "FUSE (a file system in user space, such as virtiofs, SSHFS, GlusterFS or s3fs)"),
    (0x0102_1997, "9P"),
    (0x00C3_6400, "Ceph"),
    (0x0BD0_0BD0, "Lustre"),
    (0x0116_1970, "GFS2"),
    (0x7461_636F, "OCFS2"),
    (0x5346_414F, "AFS"),
    (0x6B41_4653, "AFS"),
    (0x7375_7245, "Coda"),
    (0x4750_4653, "GPFS"),
    (0x2003_0528, "OrangeFS"),
    (0xAAD7_AAEA, "PanFS"),
    (0x1983_0326, "BeeGFS"),
    (0x786F_4256, "VirtualBox's shared folders"),
];

/// Judges a file system by its magic number.
///
/// # Errors
/// When it is not known to be local.
pub(super) fn judge(magic: u64) -> Result<(), UnfitFileSystem> {
    if LOCAL.contains(&magic) {
        return Ok(());
    }
    let not_local = NOT_LOCAL.iter().find(|(number, _)| *number == magic);
    Err(not_local.map_or(UnfitFileSystem::Unknown(magic), |(_, name)| UnfitFileSystem::NotLocal(name)))
}

/// Magic number of the file system that holds `folder`.
pub(super) fn magic_of(folder: &Path) -> io::Result<u64> {
    let magic = rustix::fs::statfs(folder)?.f_type;
    // The kernel's numbers have 32 bits; on some machines the field is signed and larger.
    Ok(magic.cast_unsigned() & 0xFFFF_FFFF)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn local_file_systems_hold_a_store() {
        for magic in [0xEF53, 0x5846_5342, 0x9123_683E, 0x0102_1994, 0x794C_7630] {
            assert_eq!(judge(magic), Ok(()), "{magic:#x}");
        }
    }

    #[test]
    fn file_systems_of_another_machine_are_refused_by_name() {
        let table =
            [(0x6969, "NFS"), (0xFF53_4D42, "CIFS"), (0xFE53_4D42, "SMB"), (0x6573_5546, "FUSE"), (0x0102_1997, "9P")];
        for (magic, name) in table {
            let refusal = judge(magic).expect_err("not local").to_string();
            assert!(refusal.starts_with(name), "{refusal}");
        }
    }

    #[test]
    fn an_unknown_file_system_is_refused_by_number() {
        assert_eq!(judge(0x1234), Err(UnfitFileSystem::Unknown(0x1234)));
    }

    #[test]
    fn the_number_of_a_real_folder_is_read() {
        assert_eq!(magic_of(Path::new("/proc")).expect("a folder"), 0x9FA0);
    }
}
