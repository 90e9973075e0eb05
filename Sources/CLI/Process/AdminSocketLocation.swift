/// Where the admin socket is when nobody says so: `run` and `stats` must find the same place.
struct AdminSocketLocation: Equatable {
    let directory: String
    var path: String { directory + "/admin.sock" }

    init(runtimeDirectory: String?, userID: UInt32) {
        if let runtimeDirectory {
            directory = runtimeDirectory + "/ringway"
        } else if userID == 0 {
            directory = "/run/ringway"
        } else {
            directory = "/tmp/ringway-\(userID)"
        }
    }

    static var ofThisUser: AdminSocketLocation {
        AdminSocketLocation(runtimeDirectory: Host.environment("XDG_RUNTIME_DIR"), userID: Host.userID)
    }
}
