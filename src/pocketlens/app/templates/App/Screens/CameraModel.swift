import CoreGraphics
import Foundation
import Observation
import RecognizerKit

/// What the camera screen shows. It brings the camera's frames to the recognizer.
@MainActor
@Observable
final class CameraModel {
    private(set) var state = CaptureState.starting
    private(set) var label: StableLabel?
    private(set) var frameSize = CGSize.zero
    private(set) var isTorchOn = false
    private(set) var showsDetails = false
    /// What the recognizer does behind the label; kept only while it is shown.
    private(set) var details: RecognitionDetails?
    /// Why nothing can be recognized, in words for the user.
    private(set) var problem: String?

    let input: InputSpec
    private let capture = CaptureService()
    private let recognizer: Recognizer
    private var tracker: RecognitionTracker
    private var following: Task<Void, Never>?
    private var recognizing: Task<Void, Never>?

    init(recognizer: Recognizer) {
        self.recognizer = recognizer
        input = recognizer.configuration.input
        tracker = RecognitionTracker(configuration: recognizer.configuration)
    }

    var preview: PreviewSource {
        capture.preview
    }

    var camera: CameraInfo? {
        if case .running(let camera) = state { camera } else { nil }
    }

    /// Starts the camera and the recognizer, or tries again what failed.
    func start() async {
        problem = nil
        if following == nil {
            following = Task { await followStates() }
        }
        if recognizing == nil {
            recognizing = Task { await recognizeFrames() }
        }
        await capture.start()
    }

    /// The screen is left: nobody looks, so nothing is recorded.
    func stop() async {
        await capture.stop()
        forget()
    }

    func switchCamera() {
        forget()
        Task { await capture.switchCamera() }
    }

    func rotateFrames(to angle: CGFloat) {
        Task { await capture.rotateFrames(to: angle) }
    }

    func focus(at point: CGPoint) {
        Task { await capture.focus(at: point) }
    }

    func toggleDetails() {
        showsDetails.toggle()
        details = nil
    }

    func toggleTorch() {
        Task { isTorchOn = await capture.setTorch(!isTorchOn) }
    }

    private func followStates() async {
        for await state in capture.states {
            self.state = state
            if camera == nil {
                forget()
            }
        }
    }

    private func recognizeFrames() async {
        do {
            // One frame at a time: the next is taken only when this one has been recognized.
            for await frame in capture.frames {
                let recognition = try await recognizer.recognize(frame)
                show(try tracker.add(recognition.labels), of: frame.size)
                await explain(recognition)
            }
        } catch {
            label = nil
            problem = error.localizedDescription
        }
        recognizing = nil
    }

    private func explain(_ recognition: Recognition) async {
        guard showsDetails else { return }
        let processor = await recognizer.processor()
        // The user may have looked away meanwhile.
        guard showsDetails else { return }
        details = RecognitionDetails(
            ranking: tracker.ranking, duration: recognition.duration, processor: processor
        )
    }

    private func show(_ steady: StableLabel?, of size: CGSize) {
        // Only a change may redraw the screen, not every frame.
        if label != steady {
            label = steady
        }
        if frameSize != size {
            frameSize = size
        }
    }

    private func forget() {
        tracker.reset()
        label = nil
        details = nil
        isTorchOn = false
    }
}

/// How the recognizer came to its label.
struct RecognitionDetails: Equatable {
    let ranking: [StableLabel]
    let duration: Duration
    let processor: ComputePlan.Processor?
}
