//! `docs/seeds.md` says for every name of the forerunners what does it here and which test shows it. These
//! tests read the page beside the sources.

use std::collections::HashSet;
use std::fs;
use std::path::Path;

/// Every function, flag, parameter and error of the forerunners' documents.
const NAMES: &str = "
RTShMemOpen phShMem pszName fFlags cbMax cMappingsHint RTShMemClose RTShMemDelete RTShMemRefCount RTShMemSetSize
cbMem RTShMemQuerySize pcbMem RTShMemMapRegion offRegion cbRegion ppv RTShMemUnmapRegion pv
RTSHMEM_O_F_CREATE RTSHMEM_O_F_CREATE_EXCL RTSHMEM_O_F_READ RTSHMEM_O_F_WRITE RTSHMEM_O_F_READWRITE
RTSHMEM_O_F_TRUNCATE RTSHMEM_O_F_MAYBE_EXEC RTSHMEM_O_F_VALID_MASK RTSHMEM_MAP_F_READ RTSHMEM_MAP_F_WRITE
RTSHMEM_MAP_F_EXEC RTSHMEM_MAP_F_COW RTSHMEM_MAP_F_VALID_MASK VERR_OUT_OF_RANGE VERR_INVALID_STATE
VERR_NOT_SUPPORTED VERR_SHMEM_MAXIMUM_MAPPINGS_REACHED VERR_ACCESS_DENIED
PR_OpenSharedMemory PR_AttachSharedMemory PR_DetachSharedMemory PR_CloseSharedMemory PR_DeleteSharedMemory
PR_SHM_CREATE PR_SHM_EXCL PR_SHM_READONLY PR_FILE_EXISTS_ERROR PR_FILE_NOT_FOUND_ERROR PR_GetError PR_GetOSError
name size mode addr shm_open shm_unlink CREATE EXCL RDONLY RDWR TRUNC Mode FD_CLOEXEC
shm_open_handle handle flags shm_create_handle errno O_RDONLY O_RDWR O_WRONLY shm_create_subrange_handle
shm_delete_handle shm_revoke mmap_handle SHM_CREATE_HANDLE_OPT_NOFD SHMCTL_REVOCABLE SHM_ANON SHMCTL_SEAL
RTLOCALIPCSERVER NIL_RTLOCALIPCSERVER RTLOCALIPCSESSION NIL_RTLOCALIPCSESSION RTLocalIpcServerCreate phServer
RTLOCALIPC_FLAGS_NATIVE_NAME RTLOCALIPC_FLAGS_VALID_MASK RTLocalIpcServerDestroy RTLocalIpcServerGrantGroupAccess gid
RTLocalIpcServerSetAccessMode fMode RTLocalIpcServerListen phClientSession RTLocalIpcServerCancel
RTLocalIpcSessionConnect phSession RTLOCALIPC_C_FLAGS_NATIVE_NAME RTLOCALIPC_C_FLAGS_VALID_MASK
RTLocalIpcSessionClose RTLocalIpcSessionRetain RTLocalIpcSessionRelease RTLocalIpcSessionRead pvBuf cbToRead pcbRead
RTLocalIpcSessionReadNB RTLocalIpcSessionWrite cbToWrite RTLocalIpcSessionFlush RTLocalIpcSessionWaitForData cMillies
RT_INDEFINITE_WAIT RTLocalIpcSessionCancel RTLocalIpcSessionQueryProcess pProcess NIL_RTPROCESS
RTLocalIpcSessionQueryUserId pUid NIL_RTUID RTLocalIpcSessionQueryGroupId pGid VINF_SUCCESS VINF_OBJECT_DESTROYED
VINF_TRY_AGAIN VERR_CANCELLED VERR_TIMEOUT VERR_BROKEN_PIPE
";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn text(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
}

/// What stands between backquotes.
fn quoted(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('`').skip(1).step_by(2)
}

/// The cells of each row of each table, without the heads.
fn rows(page: &str) -> Vec<Vec<&str>> {
    let lines =
        page.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| original"));
    lines.map(|line| line.trim_matches('|').split(" | ").map(str::trim).collect()).collect()
}

fn sources() -> String {
    let files = ["error", "shm/options", "shm/map", "shm/mapping", "shm/memory", "shm/name"];
    let folders =
        ["src/error", "src/session", "src/handle"].map(|of| fs::read_dir(root().join(of)));
    let more = folders.into_iter().flat_map(|folder| folder.expect("a folder of sources"));
    let more = more.map(|file| fs::read_to_string(file.expect("a file").path()).expect("text"));
    files.map(|file| text(&format!("src/{file}.rs"))).into_iter().chain(more).collect()
}

#[test]
fn every_name_of_the_forerunners_has_a_row() {
    let page = text("docs/seeds.md");
    let named: HashSet<&str> = rows(&page).iter().flat_map(|row| quoted(row[0])).collect();
    let missing: Vec<_> = NAMES.split_whitespace().filter(|name| !named.contains(name)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn every_row_names_tests_that_are_there() {
    let page = text("docs/seeds.md");
    let mut seen = 0;
    for row in rows(&page) {
        let tests = row.get(2).into_iter().flat_map(|cell| quoted(cell));
        for test in tests {
            let (file, function) = test.rsplit_once("::").expect("a file and a function");
            let file = file.replace("::", "/");
            let heading = format!("#[test]\nfn {function}()");
            let paths = ["memory", "session", "handle"].map(|of| format!("tests/{of}/{file}.rs"));
            let files = paths.iter().filter(|path| root().join(path).exists());
            assert!(files.into_iter().any(|path| text(path).contains(&heading)), "no test {test}");
            seen += 1;
        }
    }
    assert!(seen > 60, "only {seen} tests are named");
}

/// Whoever searches the documentation for an original name finds what has its row here.
#[test]
fn every_function_and_flag_that_is_there_is_an_alias() {
    let (page, sources) = (text("docs/seeds.md"), sources());
    let mut seen = 0;
    for row in rows(&page).into_iter().filter(|row| row.len() == 4 && row[1] != "planned") {
        let original = |name: &&str| {
            let is = |prefix: &str| name.starts_with(prefix);
            ["RTShMem", "RTSHMEM_", "PR_", "VERR_", "SHM", "shm_"].into_iter().any(is)
        };
        for name in quoted(row[0]).filter(original) {
            // A mask is none: there are no bits.
            if name != "RTSHMEM_MAP_F_VALID_MASK" && name != "RTSHMEM_O_F_VALID_MASK" {
                assert!(
                    sources.contains(&format!("#[doc(alias = \"{name}\")]")),
                    "no alias {name}"
                );
                seen += 1;
            }
        }
    }
    assert!(seen > 30, "only {seen} aliases");
}

#[test]
fn every_item_named_is_there() {
    let (page, sources) = (text("docs/seeds.md"), sources());
    let capabilities = text("src/shm/capabilities.rs");
    for row in rows(&page).into_iter().filter(|row| row.len() == 4) {
        let ours = |item: &&str| item.contains("::") && !item.starts_with("Option::");
        for item in quoted(row[1]).filter(ours) {
            let last = item.rsplit("::").next().expect("a last part");
            let there =
                [format!("pub fn {last}("), format!("    {last},\n"), format!("pub {last}:")]
                    .into_iter()
                    .chain([
                        format!("pub struct {last}"),
                        format!("    {last} {{"),
                        // What a trait has.
                        format!("\n    fn {last}("),
                    ]);
            let there = there
                .into_iter()
                .any(|text| sources.contains(&text) || capabilities.contains(&text));
            assert!(there, "no item {item}");
        }
    }
}
