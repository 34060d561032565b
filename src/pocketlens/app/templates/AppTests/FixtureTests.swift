import Foundation
import Testing

@testable import «name»

/// Compares the model's probabilities for test images with those computed when this app was
/// written. They differ if the crop, the color order or the pixel scaling is wrong.
@Suite struct FixtureTests {
    @Test(.enabled(if: Fixtures.haveProbabilities, "the model was not run when the app was written"))
    func probabilitiesMatchThoseComputedBefore() async throws {
        let fixtures = try Fixtures()
        let recognizer = try Recognizer(bundle: .main)
        for picture in fixtures.pictures {
            var probabilities: [String: Double] = [:]
            let recognition = try await recognizer.recognize(fixtures.load(picture))
            for (label, probability) in recognition.labels {
                probabilities[label] = probability
            }
            for expected in picture.top {
                let probability = probabilities[expected.label] ?? 0
                #expect(
                    abs(probability - expected.probability) <= fixtures.tolerance,
                    "\(picture.file): expected \(expected), received \(probability)"
                )
            }
        }
    }

    @Test func labelsAreClassesOfTheConfiguration() async throws {
        let fixtures = try Fixtures()
        let recognizer = try Recognizer(bundle: .main)
        let classes = Set(recognizer.configuration.classes)
        let picture = try #require(fixtures.pictures.first)
        let recognition = try await recognizer.recognize(fixtures.load(picture))
        let unknown = recognition.labels.map { $0.label }.filter { !classes.contains($0) }
        #expect(unknown.isEmpty)
    }
}

/// `fixtures.json` and the images in the same folder.
private struct Fixtures {
    struct Entry: Decodable {
        let file: String
        let top: [Expected]
    }

    struct Expected: Decodable {
        let label: String
        let probability: Double
    }

    let tolerance: Double
    let pictures: [Entry]

    private struct Contents: Decodable {
        let tolerance: Double
        let pictures: [Entry]
    }

    private final class Marker {}
    private static var bundle: Bundle { Bundle(for: Marker.self) }

    /// Also true if the fixtures cannot be read, so that the test runs and says why.
    static var haveProbabilities: Bool {
        (try? Fixtures())?.pictures.contains(where: { !$0.top.isEmpty }) ?? true
    }

    init() throws {
        let file = try #require(Self.bundle.url(forResource: "fixtures", withExtension: "json"))
        let contents = try JSONDecoder().decode(Contents.self, from: Data(contentsOf: file))
        tolerance = contents.tolerance
        pictures = contents.pictures
    }

    func load(_ entry: Entry) throws -> Picture {
        let file = try #require(Self.bundle.url(forResource: entry.file, withExtension: nil))
        return try Picture(fileContents: Data(contentsOf: file))
    }
}
