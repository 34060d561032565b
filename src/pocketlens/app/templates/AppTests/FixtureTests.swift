import Foundation
import Testing

@testable import «name»

/// Shows the model pictures whose answers were computed when this app was written. A wrong crop,
/// wrong colors or pixels scaled twice give other answers.
@Suite struct FixtureTests {
    @Test func theModelAnswersAsWhereTheAppWasWritten() async throws {
        let fixtures = try Fixtures()
        let recognizer = try Recognizer(bundle: .main)
        for picture in fixtures.pictures {
            var said: [String: Double] = [:]
            let recognition = try await recognizer.recognize(fixtures.load(picture))
            for (label, probability) in recognition.labels {
                said[label] = probability
            }
            for expected in picture.top {
                let probability = said[expected.label] ?? 0
                #expect(
                    abs(probability - expected.probability) <= fixtures.tolerance,
                    "\(picture.file), \(expected.label): \(probability), not \(expected.probability)"
                )
            }
        }
    }

    @Test func theModelSaysNothingButItsClasses() async throws {
        let fixtures = try Fixtures()
        let recognizer = try Recognizer(bundle: .main)
        let classes = Set(recognizer.configuration.classes)
        let picture = try #require(fixtures.pictures.first)
        let recognition = try await recognizer.recognize(fixtures.load(picture))
        let unknown = recognition.labels.map { $0.label }.filter { !classes.contains($0) }
        #expect(unknown.isEmpty)
    }
}

/// `fixtures.json` and the pictures beside it.
private struct Fixtures {
    struct Listed: Decodable {
        let file: String
        let top: [Answer]
    }

    struct Answer: Decodable {
        let label: String
        let probability: Double
    }

    let tolerance: Double
    let pictures: [Listed]

    private struct Contents: Decodable {
        let tolerance: Double
        let pictures: [Listed]
    }

    private final class Marker {}
    private static var bundle: Bundle { Bundle(for: Marker.self) }

    init() throws {
        let file = try #require(Self.bundle.url(forResource: "fixtures", withExtension: "json"))
        let contents = try JSONDecoder().decode(Contents.self, from: Data(contentsOf: file))
        tolerance = contents.tolerance
        pictures = contents.pictures
    }

    func load(_ listed: Listed) throws -> Picture {
        let file = try #require(Self.bundle.url(forResource: listed.file, withExtension: nil))
        return try Picture(fileContents: Data(contentsOf: file))
    }
}
