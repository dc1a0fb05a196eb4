//! What outlives the program, and what the sweep removes.

use std::fs;

use super::client::{Client, with_bucket};
use crate::sandbox::server::{SandboxConfig, open};

#[test]
fn data_stays_and_strays_go() {
    let (bed, client) = with_bucket();
    client.must("PUT", "/bucket/a", "data");
    let upload = client
        .must("POST", "/bucket/b?uploads", "")
        .element("UploadId");
    client.must(
        "PUT",
        &format!("/bucket/b?partNumber=1&uploadId={upload}"),
        "part",
    );
    let folder = bed.folder.path().join("s3");
    fs::write(folder.join("data/stray"), "x").expect("written");
    fs::write(folder.join("incoming/stray"), "x").expect("written");

    let runtime = client.shared.runtime().clone();
    let key = client.key.clone();
    let state = bed.folder;
    drop((client, bed.shared));
    let guard = runtime.enter();
    let config = SandboxConfig::for_tests(state.path().to_owned());
    let shared = open(&config).expect("a sandbox");
    drop(guard);
    crate::sandbox::s3::recover(&shared);
    let again = Client {
        shared,
        key,
        region: "us-east-1",
    };
    assert_eq!(again.get("/bucket/a").text(), "data");
    assert_eq!(
        again
            .get(&format!("/bucket/b?uploadId={upload}"))
            .elements("PartNumber"),
        ["1"]
    );
    let names = |name: &str| fs::read_dir(folder.join(name)).expect("a folder").count();
    assert_eq!((names("data"), names("incoming")), (2, 0));
    again.must("DELETE", "/bucket/a", "");
    assert_eq!(names("data"), 1);
}
