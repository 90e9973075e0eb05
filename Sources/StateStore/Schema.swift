internal import GRDB

/// The tables, as steps from one version to the next. A step that has been released is never changed: another one follows it.
enum Schema {
    static let migrator: DatabaseMigrator = {
        var migrator = DatabaseMigrator()
        migrator.registerMigration("1 allocations") { database in
            try database.execute(
                sql: """
                    CREATE TABLE service (
                        id INTEGER PRIMARY KEY,
                        namespace TEXT NOT NULL,
                        name TEXT NOT NULL,
                        uid TEXT,
                        healthCheckNodePort INTEGER,
                        -- Seconds since 1970; NULL while the Service is there.
                        goneSince INTEGER,
                        UNIQUE (namespace, name)
                    ) STRICT;
                    CREATE TABLE clusterIP (
                        serviceID INTEGER NOT NULL REFERENCES service ON DELETE CASCADE,
                        position INTEGER NOT NULL,
                        address TEXT NOT NULL,
                        PRIMARY KEY (serviceID, position)
                    ) STRICT, WITHOUT ROWID;
                    CREATE TABLE nodePort (
                        serviceID INTEGER NOT NULL REFERENCES service ON DELETE CASCADE,
                        portName TEXT NOT NULL,
                        port INTEGER NOT NULL,
                        PRIMARY KEY (serviceID, portName)
                    ) STRICT, WITHOUT ROWID;
                    """)
        }
        migrator.registerMigration("2 load balancers") { database in
            try database.execute(
                sql: """
                    CREATE TABLE loadBalancerIP (
                        serviceID INTEGER NOT NULL REFERENCES service ON DELETE CASCADE,
                        position INTEGER NOT NULL,
                        address TEXT NOT NULL,
                        PRIMARY KEY (serviceID, position)
                    ) STRICT, WITHOUT ROWID;
                    """)
        }
        return migrator
    }()
}
