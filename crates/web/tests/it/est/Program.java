// Renews a certificate with the EST client of Bouncy Castle: arguments are port, files of the server's certificate, of the
// holder's certificate and key (PKCS#12, passphrase "secret"), ID, ticket, and where to write the new certificate.

import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyPair;
import java.security.KeyPairGenerator;
import java.security.KeyStore;
import java.security.cert.CertificateFactory;
import java.security.cert.TrustAnchor;
import java.security.cert.X509Certificate;
import java.security.spec.ECGenParameterSpec;
import java.util.Set;
import javax.net.ssl.KeyManager;
import javax.net.ssl.KeyManagerFactory;
import javax.net.ssl.TrustManagerFactory;
import javax.net.ssl.X509TrustManager;
import javax.security.auth.x500.X500Principal;
import org.bouncycastle.cert.X509CertificateHolder;
import org.bouncycastle.est.ESTException;
import org.bouncycastle.est.ESTService;
import org.bouncycastle.est.EnrollmentResponse;
import org.bouncycastle.est.jcajce.JcaHttpAuthBuilder;
import org.bouncycastle.est.jcajce.JsseESTServiceBuilder;
import org.bouncycastle.operator.jcajce.JcaContentSignerBuilder;
import org.bouncycastle.pkcs.PKCS10CertificationRequest;
import org.bouncycastle.pkcs.jcajce.JcaPKCS10CertificationRequestBuilder;

public class Program {
    public static void main(String[] arguments) throws Exception {
        KeyStore trusted = KeyStore.getInstance("PKCS12");
        trusted.load(null, null);
        try (InputStream file = Files.newInputStream(Path.of(arguments[1]))) {
            trusted.setCertificateEntry("server", CertificateFactory.getInstance("X.509").generateCertificate(file));
        }
        TrustManagerFactory trust = TrustManagerFactory.getInstance("PKIX");
        trust.init(trusted);
        KeyStore own = KeyStore.getInstance("PKCS12");
        try (InputStream file = Files.newInputStream(Path.of(arguments[2]))) {
            own.load(file, "secret".toCharArray());
        }
        KeyManagerFactory keys = KeyManagerFactory.getInstance("NewSunX509");
        keys.init(own, "secret".toCharArray());
        JsseESTServiceBuilder builder = new JsseESTServiceBuilder(
            "localhost", Integer.parseInt(arguments[0]), (X509TrustManager) trust.getTrustManagers()[0]);
        ESTService service = builder.withKeyManagers(keys.getKeyManagers()).withTimeout(20000).build();

        int authorities = ESTService.storeToArray(service.getCACerts().getCertificateStore()).length;
        int attributes = service.getCSRAttributes().getAttributesResponse().getRequirements().size();

        KeyPairGenerator generator = KeyPairGenerator.getInstance("EC");
        generator.initialize(new ECGenParameterSpec("secp256r1"));
        KeyPair pair = generator.generateKeyPair();
        X509Certificate present = (X509Certificate) own.getCertificate(own.aliases().nextElement());
        X500Principal subject = present.getSubjectX500Principal();
        PKCS10CertificationRequest request = new JcaPKCS10CertificationRequestBuilder(subject, pair.getPublic())
            .build(new JcaContentSignerBuilder("SHA256withECDSA").build(pair.getPrivate()));
        try {
            service.simpleEnroll(true, request, new JcaHttpAuthBuilder(arguments[3], "wrong".toCharArray()).build());
            throw new IllegalStateException("a wrong ticket renewed");
        } catch (ESTException refused) {
            if (refused.getStatusCode() != 401) {
                throw refused;
            }
        }
        EnrollmentResponse response = service.simpleEnroll(
            true, request, new JcaHttpAuthBuilder(arguments[3], arguments[4].toCharArray()).build());
        X509CertificateHolder[] issued = ESTService.storeToArray(response.getStore());
        Files.write(Path.of(arguments[5]), issued[0].getEncoded());
        System.out.println(authorities + " " + attributes + " " + issued.length);
    }
}
