package import Forwarding

/// What `GET /api/v1/stats` answers: the process, its configuration and every counter of the data plane, in one flat object.
package struct AdminReport: Codable, Sendable {
    /// What the process has been told to serve.
    package struct Configuration: Codable, Sendable {
        /// Objects that are in force, last good versions of broken ones included.
        package var objects = 0
        /// Objects whose present text was rejected.
        package var rejectedObjects = 0
        /// Generation of the snapshot published last; `generation` beside the counters is the last one acknowledged.
        package var generation: UInt64 = 0

        package init() {}
    }

    package var version: String
    package var pid: Int32
    package var uptimeSeconds: Double
    package var configuration: Configuration
    package var dataPlane: DataPlaneStatistics

    package init(version: String, pid: Int32, uptimeSeconds: Double, configuration: Configuration, dataPlane: DataPlaneStatistics) {
        self.version = version
        self.pid = pid
        self.uptimeSeconds = uptimeSeconds
        self.configuration = configuration
        self.dataPlane = dataPlane
    }

    private enum CodingKeys: String, CodingKey {
        case version, pid, uptimeSeconds, configuration
    }

    package init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        version = try container.decode(String.self, forKey: .version)
        pid = try container.decode(Int32.self, forKey: .pid)
        uptimeSeconds = try container.decode(Double.self, forKey: .uptimeSeconds)
        configuration = try container.decode(Configuration.self, forKey: .configuration)
        dataPlane = try DataPlaneStatistics(from: decoder)
    }

    package func encode(to encoder: any Encoder) throws {
        // Both write into one object: the reader of the JSON need not know that there are two planes.
        try dataPlane.encode(to: encoder)
        var container = encoder.container(keyedBy: CodingKeys.self)
        try container.encode(version, forKey: .version)
        try container.encode(pid, forKey: .pid)
        try container.encode(uptimeSeconds, forKey: .uptimeSeconds)
        try container.encode(configuration, forKey: .configuration)
    }
}
