package import ControlPlane
internal import GRDB

/// What Services were given, kept across restarts in an SQLite database.
///
/// One process at a time has a directory for writing; others may read it meanwhile. `save` returns once the changes are on the disk,
/// so that what is served afterwards is known after a crash, a loss of power included.
package final class StateStore: Sendable {
    package let file: String
    private let lock: DirectoryLock
    private let database: DatabaseQueue

    /// Takes the directory, which is made where it is missing, and brings its tables up to this version's.
    package init(directory: String) throws(StateStoreError) {
        let file = Self.file(in: directory)
        lock = try DirectoryLock(directory)
        database = try Self.guarding(file) {
            // First without the right to write: what is damaged, or newer, stays as it is.
            _ = try Self.read(file) { _ in }
            var configuration = Self.configuration
            // Readers don't wait for the writer, nor the writer for them.
            configuration.journalMode = .wal
            let database = try DatabaseQueue(path: file, configuration: configuration)
            // WAL's usual setting loses the last commits when the power goes.
            try database.writeWithoutTransaction { try $0.execute(sql: "PRAGMA synchronous = FULL") }
            try Schema.migrator.migrate(database)
            return database
        }
        self.file = file
    }

    deinit {
        // Before the lock is gone.
        try? database.close()
    }

    /// What another process, or none, keeps in the directory, which is left as it is. Nothing where it has no database.
    package static func records(in directory: String) throws(StateStoreError) -> [ServiceKey: AllocationRecord] {
        let file = file(in: directory)
        return try guarding(file) {
            try read(file) { try Schema.migrator.hasCompletedMigrations($0) ? RecordTables.records($0) : [:] } ?? [:]
        }
    }

    package func records() throws(StateStoreError) -> [ServiceKey: AllocationRecord] {
        try Self.guarding(file) { try database.read(RecordTables.records) }
    }

    /// Writes all of it, or nothing. nil: nobody holds anything under that name any more.
    package func save(_ changes: [ServiceKey: AllocationRecord?]) throws(StateStoreError) {
        try Self.guarding(file) {
            try database.write { database in
                for (key, record) in changes { try RecordTables.put(record, for: key, into: database) }
            }
        }
    }

    // MARK: Opening

    private static func file(in directory: String) -> String { "\(directory)/ringway.db" }

    private static var configuration: Configuration {
        var configuration = Configuration()
        // A reader's look, or a checkpoint, is over in milliseconds.
        configuration.busyMode = .timeout(5)
        return configuration
    }

    /// A look at a database that is sound, as far as that can be seen, and not too new; nil where there is none.
    private static func read<Value>(_ file: String, _ body: (Database) throws -> Value) throws -> Value? {
        guard DirectoryLock.isThere(file) else { return nil }
        var configuration = configuration
        configuration.readonly = true
        return try DatabaseQueue(path: file, configuration: configuration).read { database in
            // Every page; ten thousand Services have a few hundred.
            let finding = try String.fetchOne(database, sql: "PRAGMA quick_check(1)")
            guard finding == "ok" else { throw StateStoreError.damaged(file: file, reason: finding ?? "no answer") }
            guard try !Schema.migrator.hasBeenSuperseded(database) else { throw StateStoreError.newer(file: file) }
            return try body(database)
        }
    }

    /// SQLite's errors in our words.
    private static func guarding<Value>(_ file: String, _ body: () throws -> Value) throws(StateStoreError) -> Value {
        do {
            return try body()
        } catch let error as StateStoreError {
            throw error
        } catch let error as RecordTables.Unreadable {
            throw .damaged(file: file, reason: error.reason)
        } catch let error as DatabaseError {
            let reason = error.message ?? "\(error.resultCode)"
            switch error.resultCode {
            case .SQLITE_CORRUPT, .SQLITE_NOTADB: throw .damaged(file: file, reason: reason)
            default: throw .failed(file: file, reason: reason)
            }
        } catch {
            throw .failed(file: file, reason: "\(error)")
        }
    }
}
