import AVFoundation
import Foundation

/// What the camera is doing.
enum CaptureState: Equatable, Sendable {
    case starting
    case running(CameraInfo)
    /// The user has not allowed the camera.
    case denied
    /// There is no camera, as in the simulator.
    case noCamera
    /// Another app uses the camera, or the device is too hot.
    case interrupted
    case failed(String)
}

struct CameraInfo: Equatable, Sendable {
    let id: String
    let hasTorch: Bool
    /// Whether there is a camera on the other side.
    let hasOther: Bool
}

/// The preview's way to the capture session, which otherwise only `CaptureService` touches.
struct PreviewSource: @unchecked Sendable {
    // Safe to pass on: the preview layer only reads the session, as AVFoundation foresees.
    fileprivate let session: AVCaptureSession

    @MainActor func connect(to layer: AVCaptureVideoPreviewLayer) {
        layer.session = session
    }
}

/// Owns the camera. Its methods run on a serial queue of their own, never on the main thread,
/// because starting and configuring a session block.
actor CaptureService {
    nonisolated let preview: PreviewSource
    /// Upright frames. A frame that comes while one is looked at replaces the one that waits.
    nonisolated let frames: AsyncStream<Frame>
    nonisolated let states: AsyncStream<CaptureState>

    private let queue = DispatchSerialQueue(label: "camera.session")
    private let frameQueue = DispatchQueue(label: "camera.frames", qos: .userInitiated)
    private let session = AVCaptureSession()
    private let output = AVCaptureVideoDataOutput()
    private let receiver: FrameReceiver
    private let stateUpdates: AsyncStream<CaptureState>.Continuation
    private var camera: AVCaptureDevice?
    private var observers: [any NSObjectProtocol] = []

    nonisolated var unownedExecutor: UnownedSerialExecutor {
        queue.asUnownedSerialExecutor()
    }

    init() {
        preview = PreviewSource(session: session)
        let (frames, frameUpdates) = AsyncStream.makeStream(
            of: Frame.self, bufferingPolicy: .bufferingNewest(1)
        )
        self.frames = frames
        receiver = FrameReceiver(frames: frameUpdates)
        (states, stateUpdates) = AsyncStream.makeStream(of: CaptureState.self)
    }

    /// Asks for permission if need be, sets the camera up and starts it. Again after a failure, or
    /// when the user comes back from the Settings, it tries anew.
    func start() async {
        guard let device = AVCaptureDevice.default(for: .video) else {
            stateUpdates.yield(.noCamera)
            return
        }
        guard await isAllowed() else {
            stateUpdates.yield(.denied)
            return
        }
        if camera == nil {
            do {
                try configure(device)
            } catch {
                stateUpdates.yield(.failed(error.localizedDescription))
                return
            }
            observeSession()
        }
        run()
    }

    /// Stops the camera, as when its screen is left; `start` starts it again.
    func stop() {
        session.stopRunning()
    }

    /// Changes to the camera on the other side. Stays with this one if the other cannot be used.
    func switchCamera() {
        guard let current = camera, let other = Self.camera(opposite: current) else { return }
        do {
            try configure(other)
        } catch {
            stateUpdates.yield(.failed(error.localizedDescription))
            return
        }
        run()
    }

    /// Turns frames so that they are upright. `angle` is in degrees, as the preview's.
    func rotateFrames(to angle: CGFloat) {
        guard let connection = output.connection(with: .video),
            connection.isVideoRotationAngleSupported(angle)
        else { return }
        connection.videoRotationAngle = angle
    }

    /// Switches the light on or off and says whether it is on now.
    func setTorch(_ on: Bool) -> Bool {
        guard let camera, camera.hasTorch, camera.isTorchAvailable else { return false }
        change(camera) { $0.torchMode = on ? .on : .off }
        return camera.torchMode == .on
    }

    /// Focuses and exposes for a point of the sensor, from (0, 0) to (1, 1).
    func focus(at point: CGPoint) {
        guard let camera else { return }
        change(camera) { camera in
            if camera.isFocusPointOfInterestSupported,
                camera.isFocusModeSupported(.continuousAutoFocus)
            {
                camera.focusPointOfInterest = point
                camera.focusMode = .continuousAutoFocus
            }
            if camera.isExposurePointOfInterestSupported,
                camera.isExposureModeSupported(.continuousAutoExposure)
            {
                camera.exposurePointOfInterest = point
                camera.exposureMode = .continuousAutoExposure
            }
        }
    }

    private func isAllowed() async -> Bool {
        switch AVCaptureDevice.authorizationStatus(for: .video) {
        case .authorized: return true
        case .notDetermined: return await AVCaptureDevice.requestAccess(for: .video)
        default: return false
        }
    }

    private func run() {
        if !session.isRunning {
            session.startRunning()
        }
        if session.isRunning, let camera {
            setFrameRate(of: camera)
            let info = CameraInfo(
                id: camera.uniqueID,
                hasTorch: camera.hasTorch,
                hasOther: Self.camera(opposite: camera) != nil
            )
            stateUpdates.yield(.running(info))
        } else {
            stateUpdates.yield(.interrupted)
        }
    }
}

// MARK: - Set-up

extension CaptureService {
    private static func camera(opposite camera: AVCaptureDevice) -> AVCaptureDevice? {
        let side: AVCaptureDevice.Position = camera.position == .front ? .back : .front
        return AVCaptureDevice.default(.builtInWideAngleCamera, for: .video, position: side)
    }

    /// Puts `device` in the place of the camera before it, if there was one; all or nothing.
    private func configure(_ device: AVCaptureDevice) throws {
        let input = try AVCaptureDeviceInput(device: device)

        session.beginConfiguration()
        defer { session.commitConfiguration() }
        let former = session.inputs
        former.forEach(session.removeInput)
        // A preset that the new camera does not have would keep it out.
        session.sessionPreset = .high
        guard session.canAddInput(input) else {
            former.forEach(session.addInput)
            throw CaptureError.refused
        }
        session.addInput(input)
        if session.outputs.isEmpty {
            output.alwaysDiscardsLateVideoFrames = true
            output.setSampleBufferDelegate(receiver, queue: frameQueue)
            guard session.canAddOutput(output) else {
                session.removeInput(input)
                throw CaptureError.refused
            }
            session.addOutput(output)
        }
        // 720p is more than any small network needs; a camera may not have it.
        for preset in [AVCaptureSession.Preset.hd1280x720, .high]
        where session.canSetSessionPreset(preset) {
            session.sessionPreset = preset
            break
        }
        camera = device
    }

    private func change(_ camera: AVCaptureDevice, _ settings: (AVCaptureDevice) -> Void) {
        do {
            try camera.lockForConfiguration()
            settings(camera)
            camera.unlockForConfiguration()
        } catch {
            stateUpdates.yield(.failed(error.localizedDescription))
        }
    }

    /// A hot device gets fewer frames to work on.
    private func setFrameRate(of camera: AVCaptureDevice) {
        let wanted: Double =
            switch ProcessInfo.processInfo.thermalState {
            case .nominal, .fair: 30
            case .serious: 15
            case .critical: 5
            @unknown default: 15
            }
        guard
            let range = camera.activeFormat.videoSupportedFrameRateRanges.max(by: {
                $0.maxFrameRate < $1.maxFrameRate
            })
        else { return }
        let rate = min(max(wanted, range.minFrameRate), range.maxFrameRate)
        change(camera) {
            $0.activeVideoMinFrameDuration = CMTime(value: 1, timescale: CMTimeScale(rate))
        }
    }
}

// MARK: - What happens to the session

extension CaptureService {
    private enum Event: Sendable {
        case interrupted, interruptionEnded, mediaServicesReset, thermalStateChanged
        case error(String)
    }

    private func observeSession() {
        observe(AVCaptureSession.wasInterruptedNotification) { _ in .interrupted }
        observe(AVCaptureSession.interruptionEndedNotification) { _ in .interruptionEnded }
        observe(ProcessInfo.thermalStateDidChangeNotification) { _ in .thermalStateChanged }
        observe(AVCaptureSession.runtimeErrorNotification) { notification in
            let error = notification.userInfo?[AVCaptureSessionErrorKey] as? AVError
            return error?.code == .mediaServicesWereReset
                ? .mediaServicesReset
                : .error(error?.localizedDescription ?? "")
        }
    }

    private func observe(
        _ name: Notification.Name, as meaning: @escaping @Sendable (Notification) -> Event
    ) {
        let observer = NotificationCenter.default.addObserver(
            forName: name, object: nil, queue: nil
        ) { [weak self] notification in
            guard let self else { return }
            let event = meaning(notification)
            Task { await self.handle(event) }
        }
        observers.append(observer)
    }

    private func handle(_ event: Event) {
        switch event {
        case .interrupted:
            stateUpdates.yield(.interrupted)
        case .interruptionEnded, .mediaServicesReset:
            run()
        case .thermalStateChanged:
            if let camera { setFrameRate(of: camera) }
        case .error(let description):
            stateUpdates.yield(.failed(description))
        }
    }
}

enum CaptureError: LocalizedError {
    case refused

    var errorDescription: String? {
        switch self {
        case .refused:
            String(localized: "The camera cannot be used.")
        }
    }
}
