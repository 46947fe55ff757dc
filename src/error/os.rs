//! What the operating system's errors mean here.

use super::ErrorKind;

#[cfg(unix)]
pub(super) fn kind_of(code: i32) -> ErrorKind {
    match code {
        libc::ENOENT => ErrorKind::NotFound,
        libc::EEXIST => ErrorKind::AlreadyExists,
        libc::EACCES | libc::EPERM | libc::EROFS => ErrorKind::PermissionDenied,
        libc::ENOSPC | libc::EDQUOT | libc::ENOMEM | libc::EFBIG => ErrorKind::NoSpace,
        libc::EMFILE | libc::ENFILE => ErrorKind::LimitReached,
        libc::ENOSYS | libc::EOPNOTSUPP => ErrorKind::Unsupported,
        _ => ErrorKind::Os,
    }
}

#[cfg(windows)]
pub(super) fn kind_of(code: i32) -> ErrorKind {
    use windows_sys::Win32::Foundation as os;
    match code.cast_unsigned() {
        os::ERROR_FILE_NOT_FOUND | os::ERROR_PATH_NOT_FOUND => ErrorKind::NotFound,
        os::ERROR_ALREADY_EXISTS | os::ERROR_FILE_EXISTS => ErrorKind::AlreadyExists,
        os::ERROR_ACCESS_DENIED | os::ERROR_PRIVILEGE_NOT_HELD => ErrorKind::PermissionDenied,
        os::ERROR_NOT_ENOUGH_MEMORY
        | os::ERROR_OUTOFMEMORY
        | os::ERROR_COMMITMENT_LIMIT
        | os::ERROR_NO_SYSTEM_RESOURCES
        | os::ERROR_DISK_FULL => ErrorKind::NoSpace,
        os::ERROR_TOO_MANY_OPEN_FILES | os::ERROR_WORKING_SET_QUOTA => ErrorKind::LimitReached,
        os::ERROR_NOT_SUPPORTED | os::ERROR_CALL_NOT_IMPLEMENTED => ErrorKind::Unsupported,
        os::ERROR_INVALID_NAME | os::ERROR_FILENAME_EXCED_RANGE => ErrorKind::InvalidName,
        _ => ErrorKind::Os,
    }
}
