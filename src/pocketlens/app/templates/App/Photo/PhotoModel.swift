import Foundation
import Observation
import RecognizerKit

/// The photo that the user has chosen, and the recognizer's result.
@MainActor
@Observable
final class PhotoModel {
    private(set) var picture: Picture?
    private(set) var answer: Answer?
    /// An error message for the user, if recognition failed.
    private(set) var problem: String?

    let input: InputSpec
    private let recognizer: Recognizer
    private let rule: StillRule

    init(recognizer: Recognizer) {
        self.recognizer = recognizer
        rule = StillRule(configuration: recognizer.configuration)
        input = recognizer.configuration.input
    }

    /// Shows a photo and recognizes it. `load` returns the contents of its file, which it may have
    /// to download, or `nil` if there are none.
    func choose(_ load: () async throws -> Data?) async {
        answer = nil
        problem = nil
        do {
            guard let contents = try await load() else {
                throw RecognizerError.unreadablePicture
            }
            let picture = try await Task.detached { try Picture(fileContents: contents) }.value
            try Task.checkCancellation()
            self.picture = picture
            let recognition = try await recognizer.recognize(picture)
            try Task.checkCancellation()
            answer = try rule.answer(to: recognition.labels)
        } catch is CancellationError {
            // Another photo was chosen in the meantime.
        } catch {
            problem = error.localizedDescription
        }
    }
}
