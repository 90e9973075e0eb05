internal import FoundationEssentials

/// Manifests of which somebody asks what they would change: what is posted to `/api/v1/preview`.
package struct PreviewRequest: Codable, Sendable {
    package struct File: Codable, Sendable {
        /// As messages are to call it.
        package var path: String
        /// As it is, right or wrong. In JSON, base64.
        package var bytes: [UInt8]

        package init(path: String, bytes: [UInt8]) {
            self.path = path
            self.bytes = bytes
        }

        private enum CodingKeys: String, CodingKey {
            case path, bytes
        }

        package init(from decoder: any Decoder) throws {
            let container = try decoder.container(keyedBy: CodingKeys.self)
            path = try container.decode(String.self, forKey: .path)
            bytes = Array(try container.decode(Data.self, forKey: .bytes))
        }

        package func encode(to encoder: any Encoder) throws {
            var container = encoder.container(keyedBy: CodingKeys.self)
            try container.encode(path, forKey: .path)
            try container.encode(Data(bytes), forKey: .bytes)
        }
    }

    package var files: [File]
    /// What the files don't name is to go.
    package var prunes: Bool

    package init(files: [File], prunes: Bool) {
        self.files = files
        self.prunes = prunes
    }
}
