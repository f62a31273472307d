package example;

import com.nimbusds.jose.JOSEException;
import com.nimbusds.jose.JWSAlgorithm;
import com.nimbusds.jose.jwk.source.JWKSourceBuilder;
import com.nimbusds.jose.proc.BadJOSEException;
import com.nimbusds.jose.proc.JWSVerificationKeySelector;
import com.nimbusds.jose.proc.SecurityContext;
import com.nimbusds.jose.util.DefaultResourceRetriever;
import com.nimbusds.jose.util.JSONObjectUtils;
import com.nimbusds.jwt.JWTClaimsSet;
import com.nimbusds.jwt.proc.DefaultJWTClaimsVerifier;
import com.nimbusds.jwt.proc.DefaultJWTProcessor;
import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.io.InputStream;
import java.net.InetSocketAddress;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.GeneralSecurityException;
import java.security.KeyStore;
import java.security.cert.Certificate;
import java.security.cert.CertificateFactory;
import java.text.ParseException;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.Executors;
import javax.net.ssl.SSLContext;
import javax.net.ssl.SSLSocketFactory;
import javax.net.ssl.TrustManagerFactory;

/**
 * A service behind ztproxy that says who asks: it believes the assertion and nothing else.
 *
 * <pre>
 *   mvn package
 *   ZTPROXY_JWKS=https://orders.corp.example/.well-known/ztproxy/jwks.json \
 *   ZTPROXY_ISSUER=https://gateway.corp.example ZTPROXY_AUDIENCE=orders PORT=8080 \
 *   java -cp 'target/upstream.jar:target/dependency/*' example.Service
 * </pre>
 *
 * ZTPROXY_CA names a PEM file of the authority behind the gateway's certificate, where it is not a public one.
 */
public final class Service {
    private final DefaultJWTProcessor<SecurityContext> processor = new DefaultJWTProcessor<>();

    private Service(String jwks, String issuer, String audience, SSLSocketFactory trust) throws IOException {
        var retriever = new DefaultResourceRetriever(5_000, 5_000, 1 << 16, true, trust);
        var keys = JWKSourceBuilder.create(URI.create(jwks).toURL(), retriever)
                .cache(300_000, 10_000) // milliseconds, as the gateway allows; an unknown key is asked for at once
                .build();
        processor.setJWSKeySelector(new JWSVerificationKeySelector<>(JWSAlgorithm.ES256, keys));
        var expected = new DefaultJWTClaimsVerifier<>(
                audience, new JWTClaimsSet.Builder().issuer(issuer).build(), Set.of("sub", "iat", "exp"));
        expected.setMaxClockSkew(5);
        processor.setJWTClaimsSetVerifier(expected);
    }

    private Map<String, Object> verified(List<String> values) throws BadJOSEException, JOSEException, ParseException {
        if (values == null || values.size() != 1) {
            throw new BadJOSEException("exactly one X-Ztproxy-Assertion is needed");
        }
        return processor.process(values.get(0), null).toJSONObject();
    }

    private void handle(HttpExchange exchange) throws IOException {
        try {
            var claims = verified(exchange.getRequestHeaders().get("X-Ztproxy-Assertion"));
            // A subject means something together with who named it: an issuer of tokens, or none for a certificate.
            var body = new HashMap<String, Object>();
            body.put("issuer", claims.get("token_issuer"));
            body.put("subject", claims.get("sub"));
            body.put("claims", claims);
            answer(exchange, 200, body);
        } catch (BadJOSEException | JOSEException | ParseException wrong) {
            answer(exchange, 401, Map.of("error", String.valueOf(wrong.getMessage())));
        }
    }

    private static void answer(HttpExchange exchange, int status, Map<String, Object> body) throws IOException {
        byte[] content = JSONObjectUtils.toJSONString(body).getBytes(StandardCharsets.UTF_8);
        exchange.getResponseHeaders().set("Content-Type", "application/json");
        exchange.sendResponseHeaders(status, content.length);
        try (var out = exchange.getResponseBody()) {
            out.write(content);
        }
    }

    private static SSLSocketFactory trust(String file) throws IOException, GeneralSecurityException {
        if (file == null) {
            return (SSLSocketFactory) SSLSocketFactory.getDefault();
        }
        KeyStore authorities = KeyStore.getInstance(KeyStore.getDefaultType());
        authorities.load(null);
        try (InputStream in = Files.newInputStream(Path.of(file))) {
            for (Certificate one : CertificateFactory.getInstance("X.509").generateCertificates(in)) {
                authorities.setCertificateEntry("authority" + authorities.size(), one);
            }
        }
        TrustManagerFactory managers = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
        managers.init(authorities);
        SSLContext context = SSLContext.getInstance("TLS");
        context.init(null, managers.getTrustManagers(), null);
        return context.getSocketFactory();
    }

    private static String needed(String name) {
        String value = System.getenv(name);
        if (value == null || value.isEmpty()) {
            throw new IllegalArgumentException(name + " is needed");
        }
        return value;
    }

    public static void main(String[] arguments) throws IOException, GeneralSecurityException {
        var service = new Service(
                needed("ZTPROXY_JWKS"), needed("ZTPROXY_ISSUER"), needed("ZTPROXY_AUDIENCE"),
                trust(System.getenv("ZTPROXY_CA")));
        var server = HttpServer.create(new InetSocketAddress("127.0.0.1", Integer.parseInt(needed("PORT"))), 0);
        server.createContext("/", service::handle);
        server.setExecutor(Executors.newCachedThreadPool());
        server.start();
        System.out.println("listening on " + server.getAddress().getPort());
    }
}
