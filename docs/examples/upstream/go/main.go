// A service behind ztproxy that says who asks: it believes the assertion and nothing else.
//
//	ZTPROXY_JWKS=https://orders.corp.example/.well-known/ztproxy/jwks.json \
//	ZTPROXY_ISSUER=https://gateway.corp.example ZTPROXY_AUDIENCE=orders PORT=8080 go run .
//
// SSL_CERT_FILE names a PEM file of the authority behind the gateway's certificate, where it is not a public one.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/lestrrat-go/httprc/v3"
	"github.com/lestrrat-go/jwx/v3/jwa"
	"github.com/lestrrat-go/jwx/v3/jwk"
	"github.com/lestrrat-go/jwx/v3/jws"
	"github.com/lestrrat-go/jwx/v3/jwt"
)

type service struct {
	keys             jwk.Set
	issuer, audience string
}

// verified returns the claims of the one assertion.
func (s *service) verified(values []string) (jwt.Token, error) {
	if len(values) != 1 {
		return nil, errors.New("exactly one X-Ztproxy-Assertion is needed")
	}
	message, err := jws.Parse([]byte(values[0]), jws.WithCompact())
	if err != nil {
		return nil, err
	}
	for _, signature := range message.Signatures() {
		if algorithm, ok := signature.ProtectedHeaders().Algorithm(); !ok || algorithm != jwa.ES256() {
			return nil, errors.New("an assertion is signed with ES256")
		}
	}
	return jwt.Parse([]byte(values[0]),
		jwt.WithKeySet(s.keys),
		jwt.WithIssuer(s.issuer),
		jwt.WithAudience(s.audience),
		jwt.WithRequiredClaim("sub"),
		jwt.WithRequiredClaim("iat"),
		jwt.WithRequiredClaim("exp"),
		jwt.WithAcceptableSkew(5*time.Second),
	)
}

func (s *service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	claims, err := s.verified(r.Header.Values("X-Ztproxy-Assertion"))
	if err != nil {
		answer(w, http.StatusUnauthorized, map[string]any{"error": err.Error()})
		return
	}
	// A subject means something together with who named it: an issuer of tokens, or none for a certificate.
	var issuer *string
	if claims.Has("token_issuer") {
		issuer = new(string)
		if err := claims.Get("token_issuer", issuer); err != nil {
			answer(w, http.StatusUnauthorized, map[string]any{"error": err.Error()})
			return
		}
	}
	subject, _ := claims.Subject()
	answer(w, http.StatusOK, map[string]any{"issuer": issuer, "subject": subject, "claims": claims})
}

func answer(w http.ResponseWriter, status int, body map[string]any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	if err := json.NewEncoder(w).Encode(body); err != nil {
		log.Print(err)
	}
}

func needed(name string) string {
	value := os.Getenv(name)
	if value == "" {
		log.Fatalf("%s is needed", name)
	}
	return value
}

func main() {
	ctx := context.Background()
	cache, err := jwk.NewCache(ctx, httprc.NewClient(httprc.WithHTTPClient(&http.Client{Timeout: 5 * time.Second})))
	if err != nil {
		log.Fatal(err)
	}
	url := needed("ZTPROXY_JWKS")
	// Asked for again in the background; the gateway publishes a key well before it signs with it.
	if err := cache.Register(ctx, url, jwk.WithMinInterval(time.Minute), jwk.WithMaxInterval(5*time.Minute)); err != nil {
		log.Fatal(err)
	}
	keys, err := cache.CachedSet(url)
	if err != nil {
		log.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:"+needed("PORT"))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("listening on", listener.Addr().(*net.TCPAddr).Port)
	server := &http.Server{
		Handler:           &service{keys, needed("ZTPROXY_ISSUER"), needed("ZTPROXY_AUDIENCE")},
		ReadHeaderTimeout: 10 * time.Second,
	}
	log.Fatal(server.Serve(listener))
}
